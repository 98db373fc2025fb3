package render

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets"
	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/sources/file"
	"bifrost-secrets/walker"
)

// storeOf reads the block of a document.
func storeOf(t *testing.T, block string) *VaultStore {
	t.Helper()
	doc, err := walker.Parse("config.json", []byte(`{"config_store": {"vault_store": `+block+`}}`))
	if err != nil {
		t.Fatal(err)
	}
	s, err := StoreFromDocument(doc)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// encoding/json takes members that differ in capital letters for the same, and the
// last of them counts: not what whoever reads the first one thinks.
func TestStoreMemberTwice(t *testing.T) {
	for _, block := range []string{
		`{"enabled": true, "type": "file", "ACCESS_MODE": "read_and_write", "access_mode": "read_only", "file": {"path": "s"}}`,
		`{"enabled": true, "type": "file", "access_mode": "read_only", "access_mode": "read_and_write", "file": {"path": "s"}}`,
		`{"enabled": true, "type": "file", "file": {"path": "s"}, "File": {"path": "t"}}`,
		`{"enabled": true, "type": "file", "Type": "postgres", "file": {"path": "s"}}`,
	} {
		doc, err := walker.Parse("config.json", []byte(`{"config_store": {"vault_store": `+block+`}}`))
		if err != nil {
			t.Fatal(err)
		}
		var problems *Problems
		if _, err = StoreFromDocument(doc); !errors.As(err, &problems) || !problems.Invalid() || !strings.Contains(err.Error(), "the same member twice") {
			t.Errorf("%s: %v", block, err)
		}
	}
}

// spied returns a backend that counts how often it is opened, and for what.
func spied(b sources.Backend) (spy sources.Backend, opened *[]bool) {
	opened = new([]bool)
	spy = b
	spy.Open = func(ctx context.Context, set sources.Settings, opts sources.Options) (sources.Source, error) {
		*opened = append(*opened, opts.Write)
		return b.Open(ctx, set, opts)
	}
	return spy, opened
}

func TestOpenStore(t *testing.T) {
	f := awstest.StartFake(t)
	awstest.Setenv(t, f.Env())
	dir := t.TempDir()
	quoted := `"` + dir + `"`
	for _, c := range []struct {
		backend sources.Backend
		block   string // without the access mode
	}{
		{file.Backend, `"type": "file", "file": {"path": ` + quoted + `}`},
		{awssecrets.Backend, `"type": "aws-secrets-manager"`},
	} {
		for mode, reason := range map[string]string{
			``:                                 "its access mode is read_only, the default",
			`"access_mode": "read_only",`:      "its access mode is read_only",
			`"access_mode": "READ_AND_WRITE",`: `its access mode is "READ_AND_WRITE", which is not known`,
			`"access_mode": "write",`:          `its access mode is "write", which is not known`,
			`"access_mode": "read_and_write",`: "",
		} {
			backend, opened := spied(c.backend)
			opts := sources.Options{Getenv: os.LookupEnv, Warn: func(string) {}, Write: true}
			s := storeOf(t, `{"enabled": true, `+mode+c.block+`}`)

			// Reading is not writing, whatever the mode and the caller say.
			source, err := s.Open(t.Context(), []sources.Backend{backend}, opts)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := source.(sources.Store); ok {
				t.Errorf("%s%s: what was opened for reading writes", c.block, mode)
			}
			if _, ok := source.(sources.Inspector); !ok {
				t.Errorf("%s: what was opened for reading cannot look", c.block)
			}
			_ = source.Close()

			*opened = nil
			opts.Write = false
			store, err := s.OpenStore(t.Context(), []sources.Backend{backend}, opts)
			if reason == "" {
				if err != nil || !slices.Equal(*opened, []bool{true}) {
					t.Fatal(err, *opened)
				}
				_ = store.Close()
				continue
			}
			var problems *Problems
			if !errors.As(err, &problems) || !problems.Invalid() || !strings.Contains(err.Error(), reason) {
				t.Errorf("%s: %v, want %q", mode, err, reason)
			}
			if store != nil || len(*opened) > 0 {
				t.Errorf("%s: the backend was opened", mode)
			}
		}
	}
	if n := f.Total(); n > 0 {
		t.Errorf("%d requests were made", n)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("files were made: %v, %v", entries, err)
	}
}

// White space at the ends of what the block itself says is left out as that of a
// setting is, and told of.
func TestOpenStoreWhiteSpace(t *testing.T) {
	var warned []string
	s := storeOf(t, `{"enabled": true, "type": "file ", "prefix": "\u200bteam\n", "access_mode": " read_and_write", "file": {"path": "`+t.TempDir()+`"}}`)
	store, err := s.OpenStore(t.Context(), []sources.Backend{file.Backend}, sources.Options{Getenv: os.LookupEnv, Warn: func(line string) { warned = append(warned, line) }})
	if err != nil {
		t.Fatal(err)
	}
	_ = store.Close()
	if s.NamePrefix() != "team" {
		t.Errorf("the prefix is %q", s.NamePrefix())
	}
	want := []string{"type has white space at an end, which is left out", "prefix has white space at an end, which is left out", "access_mode has white space at an end, which is left out"}
	for i, line := range warned {
		warned[i] = line[strings.LastIndex(line, ".")+1:]
	}
	if !slices.Equal(warned, want) {
		t.Errorf("warned %q", warned)
	}
}

func TestOpenStoreOff(t *testing.T) {
	backend, opened := spied(file.Backend)
	s := storeOf(t, `{"enabled": false, "type": "file", "access_mode": "read_and_write", "file": {"path": "."}}`)
	if _, err := s.OpenStore(t.Context(), []sources.Backend{backend}, sources.Options{}); err == nil || !strings.Contains(err.Error(), NotEnabled) || len(*opened) > 0 {
		t.Error(err)
	}
}

// A backend that can only be read says so.
func TestOpenStoreReadable(t *testing.T) {
	backend := sources.Backend{Facts: sources.Facts{Type: "memory", Block: "memory"}, Open: func(context.Context, sources.Settings, sources.Options) (sources.Source, error) {
		return &memory{}, nil
	}}
	s, err := StoreFromFlags("memory", []string{"access_mode=read_and_write", "prefix=team"}, []sources.Backend{backend})
	if err != nil || s.Prefix != "team" {
		t.Fatal(err)
	}
	if _, err := s.OpenStore(t.Context(), []sources.Backend{backend}, sources.Options{Getenv: none, Warn: func(string) {}}); err == nil || !strings.Contains(err.Error(), "memory can only be read") {
		t.Error(err)
	}
}

// Each fault of a block is said with its place.
func TestStoreFaultPlaces(t *testing.T) {
	folder := t.TempDir()
	backends := []sources.Backend{file.Backend, awssecrets.Backend}
	for _, c := range []struct{ block, want string }{
		{`[]`, `2:17: config_store.vault_store: the vault_store block is not an object`},
		{`{"enabled": true, "Type": 5}`, `2:43: config_store.vault_store.type: not a string`},
		{`{"enabled": true, "type": "files"}`, `2:43: config_store.vault_store.type: unknown vault_store type "files"`},
		{`{"enabled": true}`, `2:17: config_store.vault_store.type: vault_store has no type`},
		{`{"type": "file", "é": 1, "file": {"pahts": "x"}}`, `2:60: config_store.vault_store.file.pahts: the file block has settings that are not known: pahts`},
		{`{"type": "file", "file": {"path": "x", "PATH": "y"}}`, `2:64: config_store.vault_store.file.PATH: the same setting twice: capital letters make no difference`},
		{`{"type": "file", "file": {"path": "env.NOT_SET"}}`, `2:51: config_store.vault_store.file.path: env.NOT_SET is not set`},
		{`{"type": "file", "file": {"path": "<folder>"}}`, `2:51: config_store.vault_store.file.path: a part in angle brackets, which was to be filled in`},
		{`{"type": "aws-secrets-manager", "AWS": {"Region": "eu west"}}`, `2:67: config_store.vault_store.aws.region: region is not the code of a region`},
		{`{"type": "aws-secrets-manager", "aws": {"region": "eu-west-1", "session_token": "x"}}`, `2:97: config_store.vault_store.aws.session_token: session_token is set without`},
	} {
		doc, err := walker.Parse("config.json", []byte("{\"config_store\":\n{\"vault_store\": "+c.block+"}}"))
		if err != nil {
			t.Fatal(err)
		}
		// Alone in a file of its own, the block is on the first line.
		path := filepath.Join(folder, "store.json")
		if err := os.WriteFile(path, []byte(c.block), 0o600); err != nil {
			t.Fatal(err)
		}
		opts := sources.Options{Getenv: func(string) (string, bool) { return "", false }, Warn: func(string) {}}
		s, err := StoreFromDocument(doc)
		if err == nil {
			_, err = s.Open(t.Context(), backends, opts)
		}
		if err == nil || !strings.HasPrefix(err.Error(), "config.json:"+c.want) {
			t.Errorf("%s: %v", c.block, err)
		}
		s, err = StoreFromFile(path)
		if err == nil {
			_, err = s.Open(t.Context(), backends, opts)
		}
		place := "1:"
		if c.block == "[]" {
			place = "" // no document
		}
		if err == nil || !strings.HasPrefix(err.Error(), path+":"+place) || strings.Contains(err.Error(), StorePath) {
			t.Errorf("%s: %v", c.block, err)
		}
	}
}

// What nothing reads is named with its place, and with what was likely meant.
func TestStoreUnknownMembers(t *testing.T) {
	s := storeOf(t, `{"type": "file", "acces_mode": "read_only", "file": {"path": "x"}, "polling": 1, "kubernetes": {}}`)
	var said []string
	_, _ = s.Open(t.Context(), []sources.Backend{file.Backend}, sources.Options{Getenv: os.LookupEnv, Warn: func(one string) { said = append(said, one) }})
	want := []string{
		`config.json:1:51: config_store.vault_store.acces_mode is not a part of vault_store that is known; it is ignored; did you mean "access_mode"?`,
		`config.json:1:101: config_store.vault_store.polling is not a part of vault_store that is known; it is ignored`,
		`config.json:1:115: config_store.vault_store.kubernetes is not a part of vault_store that is known; it is ignored`,
	}
	if !slices.Equal(said, want) {
		t.Errorf("said %q", said)
	}
}

// A key that was typed in the place of a name is in no message.
func TestStoreNamesThatAreKeys(t *testing.T) {
	const key = "hvsQx7Lm2Rt9Vb4Nc8Kd5Zw1"
	for _, block := range []string{
		`{"type": "file", "file": {"path": "x"}, "` + key + `": 1}`,
		`{"type": "file", "file": {"path": "x", "polling": "1", "` + key + `": " y "}}`,
		`{"type": "file", "file": {"path": "x", "` + key + `": ["y"]}}`,
		`{"type": "file", "file": {"path": "x"}, "` + key + `": 1, "` + key + `": 2}`,
	} {
		var said []string
		opts := sources.Options{Getenv: os.LookupEnv, Warn: func(one string) { said = append(said, one) }}
		doc, err := walker.Parse("config.json", []byte(`{"config_store": {"vault_store": `+block+`}}`))
		if err != nil {
			t.Fatal(err)
		}
		s, err := StoreFromDocument(doc)
		if err == nil {
			_, err = s.Open(t.Context(), []sources.Backend{file.Backend}, opts)
		}
		if all := fmt.Sprintf("%q %+v %s", said, err, sources.HintOf(err)); strings.Contains(all, key) || !strings.Contains(all, "24 characters that look like a key") {
			t.Errorf("%s: %s", block, all)
		}
		if problems, ok := errors.AsType[*Problems](err); ok {
			for _, one := range problems.List {
				if text := fmt.Sprintf("%+v", one); strings.Contains(text, key) {
					t.Errorf("%s: %s", block, text)
				}
			}
		}
	}
}
