package render

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
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

// DefaultPrefix begins the names of what is stored where the block has no prefix,
// as Enterprise does it.
const DefaultPrefix = "bifrost"

// ReadAndWrite is the access mode that allows writing. The other one, read_only,
// is the default.
const ReadAndWrite = "read_and_write"

// VaultStore is a vault_store block: it says which backend holds the secrets
// and how to reach it.
type VaultStore struct {
	Type       string // `aws-secrets-manager`
	Prefix     string // of what is stored: see [VaultStore.NamePrefix]
	AccessMode string
	Enabled    bool

	loose   []string         // the members of its own that had white space at an end
	doc     *walker.Document // that has the block; nil where it comes from flags
	span    walker.Span      // of the block, in the document
	base    string           // the path of the block
	from    string           // what messages call the place that the block came from
	blocks  map[string]gjson.Result
	byFlags bool
}

// NamePrefix returns what the names of stored secrets begin with.
func (s *VaultStore) NamePrefix() string {
	return cmp.Or(strings.Trim(s.Prefix, "/"), DefaultPrefix)
}

// storeError makes the Problems for a fault of the block.
func storeError(document, path, hint, format string, args ...any) error {
	one := Problem{Reason: fmt.Sprintf(format, args...), Hint: hint, Kind: sources.BadSettings, Invalid: true}
	if path != "" {
		one.Places = []Place{{Path: path}}
	}
	return &Problems{Document: document, List: []Problem{one}}
}

// fault makes the Problems for a member of the block, such as `type` or
// `aws.region`, with its place; for the block itself where that is "".
func (s *VaultStore) fault(member, hint, format string, args ...any) error {
	err := storeError(s.from, "", hint, format, args...).(*Problems)
	if !s.byFlags {
		err.List[0].Places = []Place{s.place(member)}
	}
	return err
}

// place returns where a member of the block stands, or the object that has none of
// that name.
func (s *VaultStore) place(member string) Place {
	at, path := s.span, s.base
	if member != "" {
		for name := range strings.SplitSeq(member, ".") {
			path = join(path, walker.ShownName(name))
		}
	}
	for name := range strings.SplitSeq(member, ".") {
		m, ok := s.doc.Find(s.object(at), name)
		if !ok {
			break
		}
		at = m.Value
	}
	pos := s.doc.Position(at.Start)
	return Place{Path: path, Line: pos.Line, Column: pos.Column}
}

func (s *VaultStore) object(at walker.Span) (o walker.Object) {
	if s.doc.Text(at)[0] == '{' {
		o = s.doc.ObjectAt(at.Start)
	}
	return o
}

// StoreFromDocument reads the block of a config.json, and returns nil where there is
// none. Where the member is repeated, the last one counts, as it does for Bifrost.
func StoreFromDocument(doc *walker.Document) (*VaultStore, error) {
	found := doc.Members("config_store", "vault_store")
	if len(found) == 0 {
		return nil, nil
	}
	return parseStore(&VaultStore{doc: doc, span: found[len(found)-1].Value, base: StorePath, from: doc.Name})
}

// HintNotEnabled says what to do where a document needs a store and has none that
// is enabled.
func HintNotEnabled(doc *walker.Document, s *VaultStore) string {
	if s != nil {
		return `set "enabled": true in ` + StorePath
	}
	if doc != nil {
		above := []walker.Object{doc.ObjectAt(bytes.IndexByte(doc.Bytes(), '{'))}
		path := ""
		for _, m := range doc.Members("config_store") {
			if doc.Text(m.Value)[0] == '{' {
				above = append(above, doc.ObjectAt(m.Value.Start))
			}
		}
		for _, o := range above {
			for _, m := range o.Members {
				name := doc.String(m.Name)
				if doc.Text(m.Value)[0] == '{' && len(name) > len("vault") && walker.Nearest(name, []string{"vault_store"}) != nil {
					return "nothing reads " + join(path, name) + ": write it as " + StorePath
				}
			}
			path = "config_store"
		}
	}
	return `give config_store a vault_store block with "enabled": true, or name one with --vault-store or --vault-type`
}

// StoreFromFile reads a file that holds the block alone, or a config.json that
// has one. Naming the file switches the store on, unless the block itself says
// `"enabled": false`.
func StoreFromFile(path string) (*VaultStore, error) {
	doc, err := walker.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &VaultStore{Enabled: true, doc: doc, from: path}
	if found := doc.Members("config_store", "vault_store"); len(found) > 0 {
		s.base, s.span = StorePath, found[len(found)-1].Value
	} else {
		s.span = walker.Span{Start: bytes.IndexByte(doc.Bytes(), '{'), End: len(doc.Bytes())}
	}
	return parseStore(s)
}

// StoreFromFlags makes a block of a type and settings of the form key=value:
// those of the type, and access_mode and prefix.
// A credential may stand there as env.NAME alone: a command line can be read by
// everybody on the machine.
func StoreFromFlags(kind string, set []string, backends []sources.Backend) (*VaultStore, error) {
	s := &VaultStore{Type: kind, Enabled: true, from: "--vault-set", byFlags: true}
	backend, err := s.backend(backends)
	if err != nil {
		return nil, err
	}
	block := []byte("{")
	for _, one := range set {
		key, value, ok := strings.Cut(one, "=")
		switch {
		case !ok:
			return nil, storeError(s.from, "", "write --vault-set region=eu-west-1", "a setting is written key=value")
		case key == "access_mode":
			s.AccessMode = value
		case key == "prefix":
			s.Prefix = value
		case secretSetting(backend.Block, key, value):
			return nil, storeError(s.from, "", fmt.Sprintf("put it into a variable and write --vault-set %s=env.NAME", key), "%s: a credential on the command line can be read by others", key)
		default:
			if len(block) > 1 {
				block = append(block, ',')
			}
			block = append(gjson.AppendJSONString(block, key), ':')
			block = gjson.AppendJSONString(block, value)
		}
	}
	s.blocks = map[string]gjson.Result{backend.Block: gjson.ParseBytes(append(block, '}'))}
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
		return sources.HasPassword(value)
	}
	return secretKey(block, key)
}

// secretKey reports whether a setting holds a credential.
func secretKey(block, key string) bool {
	i := slices.IndexFunc(sources.Table, func(f sources.Facts) bool { return f.Block == block })
	return i >= 0 && slices.Contains(sources.Table[i].Credentials, key)
}

// parseStore reads the block that s says the place of. Names are compared without
// regard to case, as encoding/json does it for Enterprise.
func parseStore(s *VaultStore) (*VaultStore, error) {
	s.blocks = map[string]gjson.Result{}
	block := gjson.ParseBytes(s.doc.Text(s.span))
	if block.Type == gjson.Null {
		return nil, nil
	}
	if !block.IsObject() {
		return nil, s.fault("", "", "the vault_store block is not an object")
	}
	var err error
	text := func(name string, value gjson.Result, into *string) {
		if value.Type != gjson.String {
			err = s.fault(name, "", "not a string")
		}
		if *into = sources.Trim(value.String()); *into != value.String() {
			s.loose = append(s.loose, join(s.base, name))
		}
	}
	spelt := map[string]string{}
	block.ForEach(func(key, value gjson.Result) bool {
		name := strings.ToLower(key.String())
		if before, twice := spelt[name]; twice {
			err = s.fault(key.String(), "leave one of them out: "+strconv.Quote(walker.ShownName(before))+" or "+strconv.Quote(walker.ShownName(key.String())), "the same member twice: capital letters make no difference")
			return false
		}
		spelt[name] = key.String()
		switch name {
		case "enabled":
			s.Enabled = value.Bool()
			if !value.IsBool() {
				err = s.fault(name, "write true or false", "not a boolean")
			}
		case "type":
			text(name, value, &s.Type)
		case "prefix":
			text(name, value, &s.Prefix)
		case "access_mode":
			text(name, value, &s.AccessMode)
		default:
			s.blocks[name] = value
		}
		return err == nil
	})
	return s, err
}

// Digest tells one block from another: the block itself may hold credentials. It is
// the same for all that flags make, and for none.
func (s *VaultStore) Digest() string {
	var raw []byte
	if s != nil && s.doc != nil {
		raw = s.doc.Text(s.span)
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
