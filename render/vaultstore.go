package render

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
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

	loose   []string // the members of its own that had white space at an end
	raw     []byte   // as it was read; nil where it comes from flags
	from    string   // what messages call the place that the block came from
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

// StoreFromDocument reads the block of a config.json, and returns nil where there is
// none. Where the member is repeated, the last one counts, as it does for Bifrost.
func StoreFromDocument(doc *walker.Document) (*VaultStore, error) {
	raw := blockOf(doc)
	if raw == nil {
		return nil, nil
	}
	return parseStore(doc.Name, StorePath, raw, false)
}

// blockOf returns the block of a document; nil where it has none.
func blockOf(doc *walker.Document) []byte {
	found := doc.Members("config_store", "vault_store")
	if len(found) == 0 {
		return nil
	}
	return doc.Text(found[len(found)-1].Value)
}

// StoreFromFile reads a file that holds the block alone, or a config.json that
// has one. Naming the file switches the store on, unless the block itself says
// `"enabled": false`.
func StoreFromFile(path string) (*VaultStore, error) {
	doc, err := walker.ReadFile(path)
	if err != nil {
		return nil, err
	}
	raw := blockOf(doc)
	if raw == nil {
		raw = doc.Bytes()
	}
	return parseStore(path, "", raw, true)
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
		if *into = sources.Trim(value.String()); *into != value.String() {
			s.loose = append(s.loose, join(path, key.String()))
		}
	}
	spelt := map[string]string{}
	block.ForEach(func(key, value gjson.Result) bool {
		name := strings.ToLower(key.String())
		if before, twice := spelt[name]; twice {
			err = storeError(document, join(path, key.String()), "leave one of them out: "+strconv.Quote(before)+" or "+strconv.Quote(key.String()), "the same member twice: capital letters make no difference")
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
