package render

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"

	"github.com/tidwall/gjson"
)

func (s *VaultStore) backend(backends []sources.Backend) (sources.Backend, error) {
	var known []string
	for _, b := range backends {
		if b.Type == s.Type {
			return b, nil
		}
		known = append(known, b.Type)
	}
	slices.Sort(known)
	if s.byFlags {
		return sources.Backend{}, storeError("--vault-type", "", walker.KnownHint(s.Type, known), "unknown vault_store type %q", s.Type)
	}
	if s.Type == "" {
		return sources.Backend{}, s.fault("type", "known are "+strings.Join(known, ", "), "vault_store has no type")
	}
	return sources.Backend{}, s.fault("type", walker.KnownHint(s.Type, known), "unknown vault_store type %q", s.Type)
}

// path names a member of the block for messages.
func (s *VaultStore) path(name string) string {
	if s.byFlags {
		return ""
	}
	return join(StorePath, name)
}

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
		return nil, s.fault("enabled", `set "enabled": true in the vault_store block`, NotEnabled)
	}
	if s.AccessMode != ReadAndWrite {
		mode, hint := "read_only, the default", `set "access_mode": "`+ReadAndWrite+`" in the vault_store block`
		if s.AccessMode != "" && s.AccessMode != "read_only" {
			mode = fmt.Sprintf("%q, which is not known", s.AccessMode)
		} else if s.AccessMode != "" {
			mode = "read_only"
		}
		if s.byFlags {
			hint = "add --vault-set access_mode=" + ReadAndWrite
		}
		return nil, s.fault("access_mode", hint, "nothing is written to the backend: its access mode is %s", mode)
	}
	opts.Write = true
	source, err := s.open(ctx, backends, opts)
	if err != nil {
		return nil, err
	}
	store, ok := source.(sources.Store)
	if !ok {
		_ = source.Close()
		return nil, s.fault("type", "use another type for what is to be written", "%s can only be read", s.Type)
	}
	return store, nil
}

func (s *VaultStore) open(ctx context.Context, backends []sources.Backend, opts sources.Options) (sources.Source, error) {
	backend, err := s.backend(backends)
	if err != nil {
		return nil, err
	}
	s.unknown(opts.Warn)
	for _, path := range s.loose {
		opts.Warn(path + " has white space at an end, which is left out")
	}
	settings, err := s.settings(backend, opts.Getenv, opts.Warn)
	if err == nil {
		err = s.known(backend, settings)
	}
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
		return nil, s.fault(s.about(backend, err), sources.HintOf(err), "%s", err.Error())
	}
	return source, nil
}

// unknown warns of the members of the block that nothing reads.
func (s *VaultStore) unknown(warn func(string)) {
	if s.byFlags {
		return
	}
	members := []string{"access_mode", "enabled", "prefix", "type"}
	for _, f := range sources.Table {
		members = append(members, f.Block)
	}
	for _, m := range s.object(s.span).Members {
		name := s.doc.String(m.Name)
		if slices.Contains(members, strings.ToLower(name)) {
			continue
		}
		at, meant := s.doc.Position(m.Name.Start), ""
		if near := walker.Nearest(name, members); len(near) > 0 {
			meant = fmt.Sprintf("; did you mean %q?", near[0])
		}
		warn(fmt.Sprintf("%s:%d:%d: %s is not a part of vault_store that is known; it is ignored%s", s.from, at.Line, at.Column, join(s.base, walker.ShownName(name)), meant))
	}
}

// known returns the error for settings that the backend does not know.
func (s *VaultStore) known(backend sources.Backend, settings sources.Settings) (err error) {
	unknown := backend.CheckKeys(settings)
	if unknown == nil {
		return nil
	}
	message := unknown.Message
	for key := range settings {
		message = walker.HideName(message, key)
	}
	s.each(backend.Block, func(key string, _ walker.Field) {
		if _, set := settings[key]; err == nil && set && !slices.Contains(backend.Keys, key) {
			err = s.fault(backend.Block+"."+key, walker.KnownHint(key, backend.Keys), "%s", message)
		}
	})
	return err
}

// about returns the member of the block that an error of the backend is about: the
// setting that it begins with.
func (s *VaultStore) about(backend sources.Backend, err error) string {
	setting, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), backend.Block+"."), " ")
	member := backend.Block
	s.each(backend.Block, func(key string, _ walker.Field) {
		if strings.EqualFold(key, setting) && slices.Contains(backend.Keys, setting) {
			member += "." + setting
		}
	})
	return member
}

// each calls yield with the settings of one of the blocks, by their names.
func (s *VaultStore) each(block string, yield func(key string, f walker.Field)) {
	s.blocks[block].ForEach(func(key, value gjson.Result) bool {
		yield(key.String(), walker.NewField(settingEntry(block, key.String()), key.String(), []byte(value.Raw)))
		return true
	})
}

// settingEntry returns what the catalogue would say of a setting.
func settingEntry(block, key string) *walker.Entry {
	e := &walker.Entry{Pattern: StorePath + "." + block + "." + key, Form: walker.SecretVarForm}
	if secretKey(block, key) {
		e.Kind = walker.SecretKind
	}
	return e
}

// strays returns the error for a setting that is a variable which a client signs in
// with by itself, where elsewhere names the setting that would lead it astray.
func (s *VaultStore) strays(backend sources.Backend, backends []sources.Backend, elsewhere string) (err error) {
	s.each(backend.Block, func(_ string, f walker.Field) {
		if elsewhere != "" && f.What == walker.Ref && slices.ContainsFunc(backends, func(b sources.Backend) bool { return b.Secret(f.Ref.Name) }) {
			err = sources.Stays(f.Ref.Name, elsewhere)
		}
	})
	return err
}

// settings returns the members of the block as texts, without white space at their
// ends: what a setting refers to often comes of a file with a last line.
func (s *VaultStore) settings(backend sources.Backend, getenv func(string) (string, bool), warn func(string)) (out sources.Settings, err error) {
	out = sources.Settings{}
	var spelt []string
	if block, ok := s.blocks[backend.Block]; ok && !block.IsObject() {
		return nil, s.fault(backend.Block, "", "not an object")
	}
	s.each(backend.Block, func(key string, f walker.Field) {
		path := s.path(backend.Block + "." + walker.ShownName(key))
		name := strings.ToLower(key)
		text, problem := settingText(f, getenv)
		switch {
		case err != nil, problem == nil && f.What == walker.Null:
			return
		case slices.Contains(spelt, name) && !s.byFlags:
			err = s.fault(backend.Block+"."+key, "leave one of them out", "the same setting twice: capital letters make no difference")
			return
		case problem != nil:
			problem.Places = []Place{{Path: key}}
			if !s.byFlags {
				problem.Places = []Place{s.place(backend.Block + "." + key)}
			}
			err = &Problems{Document: s.from, List: []Problem{*problem}}
			return
		}
		trimmed := sources.Trim(text)
		path = cmp.Or(path, "--vault-set "+key)
		if f.What == walker.Ref {
			path += " (the variable " + f.Ref.Name + ")"
		}
		if trimmed != text {
			warn(path + " has white space at an end, which is left out")
		}
		if sources.InQuotes(trimmed) {
			warn(path + " " + sources.Quoted)
		}
		spelt = append(spelt, name)
		if slices.Contains(backend.Keys, name) {
			key = name
		}
		out[key] = sources.NewSecret([]byte(trimmed))
	})
	return out, err
}

// Credentials returns the variables that open the backend, sorted: those that the
// block takes credentials from, and, where it is enabled, those that the client of
// its type reads by itself.
func (s *VaultStore) Credentials(backends []sources.Backend) (names []string) {
	if backend, err := s.backend(backends); err == nil && s.Enabled {
		names = slices.Clone(backend.Ambient)
	}
	for block := range s.blocks {
		s.each(block, func(_ string, f walker.Field) {
			if f.What == walker.Ref && f.Ref.Scheme == walker.Env && f.Kind() == walker.SecretKind {
				names = append(names, f.Ref.Name)
			}
		})
	}
	slices.Sort(names)
	return slices.Compact(names)
}

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
	if miss := f.NearMiss().InVaultStore(); miss.Found() {
		return bad(miss.Hint, miss.What)
	}
	if (f.Kind() != walker.SecretKind || strings.Contains(f.Text(), "://")) && walker.Unfilled(f.Text()) {
		return bad("write your own in its place", walker.WhatUnfilled)
	}
	if f.What == walker.Other && strings.HasPrefix(f.Text(), "[") {
		return bad("", "neither a string, a number nor a boolean")
	}
	return f.Text(), nil
}
