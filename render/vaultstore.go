package render

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"

	"github.com/tidwall/gjson"
)

// StorePath is where a document holds its block.
const StorePath = "config_store.vault_store"

// NotEnabled is what people who know Enterprise search for.
const NotEnabled = "vault: not enabled"

// DefaultPrefix is where secrets are stored whose block has no prefix, as
// Enterprise does it.
const DefaultPrefix = "bifrost"

// NamePrefix returns what the names of stored secrets begin with.
func (s *VaultStore) NamePrefix() string {
	return cmp.Or(strings.Trim(s.Prefix, "/"), DefaultPrefix)
}

// VaultStore is a vault_store block: it says which backend holds the secrets
// and how to reach it.
type VaultStore struct {
	Type       string // `aws-secrets-manager`
	Prefix     string // of what is stored; empty means [DefaultPrefix]
	AccessMode string
	Enabled    bool

	raw    []byte // as it was read; nil where it comes from flags
	from   string // what messages call the place that the block came from
	blocks map[string]gjson.Result
	flags  map[string]string // settings given as flags, in place of blocks
}

// storeError makes the Problems for a fault of the block.
func storeError(document, path, hint, format string, args ...any) error {
	one := Problem{Reason: fmt.Sprintf(format, args...), Hint: hint, Kind: sources.BadSettings, Invalid: true}
	if path != "" {
		one.Places = []Place{{Path: path}}
	}
	return &Problems{Document: document, List: []Problem{one}}
}

// StoreFromDocument reads the block of a config.json. It gives nil where there
// is none. Where the member is repeated, the last one counts, as it does for
// Bifrost.
func StoreFromDocument(doc *walker.Document) (*VaultStore, error) {
	found := doc.Members("config_store", "vault_store")
	if len(found) == 0 {
		return nil, nil
	}
	raw := doc.Text(found[len(found)-1].Value)
	return parseStore(doc.Name, StorePath, raw, false)
}

// StoreFromFile reads a file that holds the block alone, or a config.json that
// has one. Naming the file switches the store on, unless the block itself says
// `"enabled": false`.
func StoreFromFile(path string) (*VaultStore, error) {
	doc, err := walker.ReadFile(path)
	if err != nil {
		return nil, err
	}
	raw := doc.Bytes()
	if found := doc.Members("config_store", "vault_store"); len(found) > 0 {
		raw = doc.Text(found[len(found)-1].Value)
	}
	return parseStore(path, "", raw, true)
}

// StoreFromFlags makes a block of a type and settings of the form key=value:
// those of the type, and access_mode and prefix.
// A credential may be given as env.NAME alone: a command line can be read by
// everybody on the machine.
func StoreFromFlags(kind string, set []string, backends []sources.Backend) (*VaultStore, error) {
	s := &VaultStore{Type: kind, Enabled: true, from: "--vault-set", flags: map[string]string{}}
	backend, err := s.backend(backends)
	if err != nil {
		return nil, err
	}
	for _, one := range set {
		key, value, ok := strings.Cut(one, "=")
		switch {
		case !ok:
			return nil, storeError(s.from, "", "write --vault-set region=eu-west-1", "a setting is written key=value")
		case key == "access_mode":
			s.AccessMode = value
			continue
		case key == "prefix":
			s.Prefix = value
			continue
		}
		if secretSetting(backend.Block, key, value) {
			return nil, storeError(s.from, "", fmt.Sprintf("put it into a variable and write --vault-set %s=env.NAME", key), "%s: a credential on the command line can be read by others", key)
		}
		s.flags[key] = value
	}
	return s, nil
}

// secretSetting reports whether value is a credential in the clear.
func secretSetting(block, key, value string) bool {
	if strings.HasPrefix(value, "env.") {
		return false
	}
	switch key {
	case "identity":
		return strings.HasPrefix(strings.ToUpper(value), "AGE-SECRET-KEY-") // else the path of a file
	case "url":
		if u, err := url.Parse(value); err == nil && u.Host != "" && !u.Query().Has("password") {
			_, has := u.User.Password()
			return has
		}
	}
	return secretKey(block, key)
}

// secretKey reports whether a setting holds a credential.
func secretKey(block, key string) bool {
	i := slices.IndexFunc(sources.Table, func(f sources.Facts) bool { return f.Block == block })
	return i >= 0 && slices.Contains(sources.Table[i].Credentials, key)
}

// settingEntry returns what the catalogue would say of a setting.
func settingEntry(block, key string) *walker.Entry {
	e := &walker.Entry{Pattern: StorePath + "." + block + "." + key, Form: walker.SecretVarForm}
	if secretKey(block, key) {
		e.Kind = walker.SecretKind
	}
	return e
}

// parseStore reads a block. Names are compared without regard to case, as
// encoding/json does it for Enterprise.
func parseStore(document, path string, raw []byte, enabled bool) (*VaultStore, error) {
	s := &VaultStore{Enabled: enabled, raw: raw, from: document, blocks: map[string]gjson.Result{}}
	block := gjson.ParseBytes(raw)
	if block.Type == gjson.Null {
		return nil, nil
	}
	if !block.IsObject() {
		return nil, storeError(document, path, "", "the vault_store block is not an object")
	}
	var err error
	text := func(key, value gjson.Result, into *string) {
		if value.Type != gjson.String {
			err = storeError(document, join(path, key.String()), "", "not a string")
		}
		*into = value.String()
	}
	spelt := map[string]string{}
	block.ForEach(func(key, value gjson.Result) bool {
		name := strings.ToLower(key.String())
		if before, twice := spelt[name]; twice {
			err = storeError(document, join(path, key.String()), "leave one of them out: "+quoteTwo(before, key.String()), "the same member twice: capital letters make no difference")
			return false
		}
		spelt[name] = key.String()
		switch name {
		case "enabled":
			s.Enabled = value.Bool()
			if !value.IsBool() {
				err = storeError(document, join(path, name), "write true or false", "not a boolean")
			}
		case "type":
			text(key, value, &s.Type)
		case "prefix":
			text(key, value, &s.Prefix)
		case "access_mode":
			text(key, value, &s.AccessMode)
		default:
			s.blocks[name] = value
		}
		return err == nil
	})
	return s, err
}

func quoteTwo(a, b string) string { return strconv.Quote(a) + " or " + strconv.Quote(b) }

// Digest tells one block from another: the block itself may hold credentials. It is
// the same for all that flags make, and for none.
func (s *VaultStore) Digest() string {
	var raw []byte
	if s != nil {
		raw = s.raw
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// backend finds the backend of the block's type.
func (s *VaultStore) backend(backends []sources.Backend) (sources.Backend, error) {
	var known []string
	for _, b := range backends {
		if b.Type == s.Type {
			return b, nil
		}
		known = append(known, b.Type)
	}
	sort.Strings(known)
	hint := "known are " + strings.Join(known, ", ")
	if s.Type == "" {
		return sources.Backend{}, storeError(s.from, s.path("type"), hint, "vault_store has no type")
	}
	return sources.Backend{}, storeError(s.from, s.path("type"), hint, "unknown vault_store type %q", s.Type)
}

// path names a member of the block for messages.
func (s *VaultStore) path(name string) string {
	if s.flags != nil {
		return ""
	}
	return join(StorePath, name)
}

// ReadAndWrite is the access mode that allows writing. The other one, read_only,
// is the default.
const ReadAndWrite = "read_and_write"

// Open makes the source that the block describes, for reading alone: whatever
// the access mode, it is no [sources.Store]. `env.` references in the block are
// resolved; `vault.` ones would need the source that they help to open. Errors
// are *Problems.
func (s *VaultStore) Open(ctx context.Context, backends []sources.Backend, opts sources.Options) (sources.Source, error) {
	opts.Write = false
	return s.open(ctx, backends, opts)
}

// OpenStore makes the store that the block describes. Unless the access mode is
// [ReadAndWrite] it refuses, before anything is opened or asked; so it does for a
// block that is not enabled. This is the one way to a store. Errors are *Problems.
func (s *VaultStore) OpenStore(ctx context.Context, backends []sources.Backend, opts sources.Options) (sources.Store, error) {
	if !s.Enabled {
		return nil, storeError(s.from, s.path("enabled"), `set "enabled": true in the vault_store block`, NotEnabled)
	}
	if s.AccessMode != ReadAndWrite {
		mode, hint := "read_only, the default", `set "access_mode": "`+ReadAndWrite+`" in the vault_store block`
		if s.AccessMode != "" && s.AccessMode != "read_only" {
			mode = fmt.Sprintf("%q, which is not known", s.AccessMode)
		} else if s.AccessMode != "" {
			mode = "read_only"
		}
		if s.flags != nil {
			hint = "add --vault-set access_mode=" + ReadAndWrite
		}
		return nil, storeError(s.from, s.path("access_mode"), hint, "nothing is written to the backend: its access mode is %s", mode)
	}
	opts.Write = true
	source, err := s.open(ctx, backends, opts)
	if err != nil {
		return nil, err
	}
	store, ok := source.(sources.Store)
	if !ok {
		_ = source.Close()
		return nil, storeError(s.from, s.path("type"), "use another type for what is to be written", "%s can only be read", s.Type)
	}
	return store, nil
}

func (s *VaultStore) open(ctx context.Context, backends []sources.Backend, opts sources.Options) (sources.Source, error) {
	backend, err := s.backend(backends)
	if err != nil {
		return nil, err
	}
	for name := range s.blocks {
		if !slices.ContainsFunc(sources.Table, func(f sources.Facts) bool { return f.Block == name }) {
			opts.Warn(fmt.Sprintf("%s: %s is not a part of vault_store that is known; it is ignored", s.from, s.path(name)))
		}
	}
	settings, err := s.settings(backend, opts.Getenv, opts.Warn)
	if err != nil {
		return nil, err
	}
	opts = backend.Trimmed(opts)
	if opts.Untrusted {
		opts.Elsewhere = backend.Elsewhere(settings, opts.Getenv)
	}
	err = s.strays(backend, backends, opts.Elsewhere)
	var source sources.Source
	if err == nil {
		source, err = backend.Open(ctx, settings, opts)
	}
	if err != nil {
		e := storeError(s.from, s.path(backend.Block), sources.HintOf(err), "%s", err.Error())
		return nil, e
	}
	return source, nil
}

// strays returns the error for a setting that is a variable which a client signs in
// with by itself, where elsewhere names the setting that would lead it astray.
func (s *VaultStore) strays(backend sources.Backend, backends []sources.Backend, elsewhere string) error {
	if elsewhere == "" {
		return nil
	}
	var stray string
	s.blocks[backend.Block].ForEach(func(key, value gjson.Result) bool {
		f := walker.NewField(&secretVar, key.String(), []byte(value.Raw))
		if f.What == walker.Ref && slices.ContainsFunc(backends, func(b sources.Backend) bool { return b.Secret(f.Ref.Name) }) {
			stray = f.Ref.Name
		}
		return stray == ""
	})
	if stray == "" {
		return nil
	}
	return sources.Stays(stray, elsewhere)
}

// settings gives the members of the block as texts, without white space at their
// ends: what a setting refers to often comes of a file with a last line.
func (s *VaultStore) settings(backend sources.Backend, getenv func(string) (string, bool), warn func(string)) (sources.Settings, error) {
	out := sources.Settings{}
	var err error
	set := func(key string, f walker.Field) {
		path := s.path(backend.Block + "." + key)
		text, problem := settingText(f, getenv)
		switch {
		case err != nil:
		case problem != nil:
			problem.Places = []Place{{Path: path}}
			err = &Problems{Document: s.from, List: []Problem{*problem}}
		case f.What != walker.Null:
			trimmed := sources.Trim(text)
			if trimmed != text {
				if path == "" {
					path = "--vault-set " + key
				}
				if f.What == walker.Ref {
					path += " (the variable " + f.Ref.Name + ")"
				}
				warn(path + " has white space at an end, which is left out")
			}
			out[key] = sources.NewSecret([]byte(trimmed))
		}
	}
	for key, value := range s.flags {
		quoted := gjson.AppendJSONString(nil, value)
		set(key, walker.NewField(settingEntry(backend.Block, key), key, quoted))
	}
	block, ok := s.blocks[backend.Block]
	if ok && !block.IsObject() {
		return nil, storeError(s.from, s.path(backend.Block), "", "not an object")
	}
	block.ForEach(func(key, value gjson.Result) bool {
		set(key.String(), walker.NewField(settingEntry(backend.Block, key.String()), key.String(), []byte(value.Raw)))
		return true
	})
	return out, err
}

// Credentials gives the variables that open the backend, sorted: those that the
// block takes credentials from, and, where it is enabled, those that the client of
// its type reads by itself.
func (s *VaultStore) Credentials(backends []sources.Backend) []string {
	var names []string
	backend, err := s.backend(backends)
	if err == nil && s.Enabled {
		names = append(names, backend.Ambient...)
	}
	add := func(block, key string, raw []byte) {
		f := walker.NewField(&secretVar, key, raw)
		if f.What == walker.Ref && f.Ref.Scheme == walker.Env && secretKey(block, key) {
			names = append(names, f.Ref.Name)
		}
	}
	for name, block := range s.blocks {
		block.ForEach(func(key, value gjson.Result) bool {
			add(name, key.String(), []byte(value.Raw))
			return true
		})
	}
	for key, value := range s.flags {
		add(backend.Block, key, gjson.AppendJSONString(nil, value))
	}
	sort.Strings(names)
	return slices.Compact(names)
}

// secretVar is the form of every setting of a block.
var secretVar = walker.Entry{Form: walker.SecretVarForm, Kind: walker.SecretKind}

func settingText(f walker.Field, getenv func(string) (string, bool)) (string, *Problem) {
	bad := func(hint, reason string) (string, *Problem) {
		return "", &Problem{Reason: reason, Hint: hint, Kind: sources.BadSettings, Invalid: true}
	}
	switch f.What {
	case walker.Null:
		return "", nil
	case walker.Broken:
		return bad("", f.Err.Error())
	case walker.Masked:
		return bad("write the setting itself, or env.NAME", "a masked value, as Bifrost shows it in place of a secret")
	case walker.Ref:
		if f.Ref.Scheme == walker.Vault {
			return bad("write env.NAME, or the setting itself", "a vault. reference inside vault_store: the vault cannot open itself")
		}
		value, ok := getenv(f.Ref.Name)
		if !ok {
			return bad("set it, or write the setting itself", "env."+f.Ref.Name+" is not set")
		}
		return value, nil
	}
	if miss := f.NearMiss(); miss.Found() {
		return bad(miss.Hint, miss.What)
	}
	if f.What == walker.Other && strings.HasPrefix(f.Text(), "[") {
		return bad("", "neither a string, a number nor a boolean")
	}
	return f.Text(), nil
}
