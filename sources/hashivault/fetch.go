package hashivault

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/hashicorp/vault/api"
	"golang.org/x/sync/errgroup"

	"bifrost-secrets/sources"
)

// Fetch asks for each of names once, a bounded number at a time, and answers for
// every one of them.
func (s *source) Fetch(ctx context.Context, names []string) map[string]sources.Result {
	o := s.begin(ctx, reading)
	return forEach(names, func(name string) sources.Result {
		result, fault := o.read(name)
		if fault != nil {
			return sources.Result{Err: fault}
		}
		return result
	})
}

// forEach does the same for each name, a bounded number at a time.
func forEach[T any](names []string, do func(name string) T) map[string]T {
	all := make(map[string]T, len(names))
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, name := range names {
		group.Go(func() error {
			one := do(name)
			mu.Lock()
			defer mu.Unlock()
			all[name] = one
			return nil
		})
	}
	_ = group.Wait()
	return all
}

func (o *operation) read(name string) (sources.Result, *sources.Error) {
	var none sources.Result
	if bad := checkName(name); bad != nil {
		return none, bad
	}
	var got *api.Secret
	fault := o.call("data", name, func(ctx context.Context, c *api.Client, path string) (err error) {
		got, err = c.Logical().ReadWithContext(ctx, path)
		return err
	})
	switch {
	case fault != nil:
		return none, fault
	case got == nil:
		return none, o.notFound(name)
	case o.version() == 1:
		return o.result(name, got.Data, "")
	}
	about, _ := got.Data["metadata"].(map[string]any)
	version, _ := about["version"].(json.Number)
	document, there := got.Data["data"].(map[string]any)
	switch deleted, _ := about["deletion_time"].(string); {
	case about["destroyed"] == true:
		return none, &sources.Error{
			Kind: sources.Disabled, Name: name, Message: fmt.Sprintf("%s has no value: version %s is destroyed", subject(name), version),
			Hint: "store a new version of it",
		}
	case !there && deleted != "":
		return none, o.deleted(name, version.String())
	case !there:
		fault := o.unreachable("an answer without a document; is "+o.mount+" a mount of the type kv, version 2?", nil)
		fault.Name = name
		return none, fault
	}
	return o.result(name, document, version.String())
}

// version is that of the engine, which is known once a call has been made.
func (s *source) version() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.engine.version
}

func (o *operation) deleted(name, version string) *sources.Error {
	return &sources.Error{
		Kind: sources.Disabled, Name: name, Message: fmt.Sprintf("%s is deleted: version %s can be brought back", subject(name), version),
		Hint: "bring it back: " + o.undelete(name, version),
	}
}

func (o *operation) undelete(name, version string) string {
	return fmt.Sprintf("vault kv undelete -mount=%s -versions=%s %s", o.mount, version, name)
}

// result makes the result of a document.
func (o *operation) result(name string, document map[string]any, version string) (sources.Result, *sources.Error) {
	if document == nil {
		document = map[string]any{}
	}
	unusable := func(what, hint string) (sources.Result, *sources.Error) {
		return sources.Result{}, &sources.Error{Kind: sources.Unusable, Name: name, Message: subject(name) + " " + what, Hint: hint}
	}
	whole := encode(document)
	if len(whole) > sources.MaxValue {
		return unusable(fmt.Sprintf("has a document of %d bytes, and %d are allowed", len(whole), sources.MaxValue), "")
	}
	r := sources.Result{Value: sources.NewSecret(whole), Version: version}
	if len(document) != 1 {
		return r, nil
	}
	for key, value := range document {
		switch value := value.(type) {
		case nil:
			return unusable("has one key, whose value is null", "give the key a value")
		case string:
			r.Value = sources.NewSecret([]byte(value))
			r.Document = sources.NewSecret(fragments(key, value, whole))
		default:
			r.Value, r.Document = sources.NewSecret(encode(value)), r.Value
		}
	}
	return r, nil
}

// fragments gives the object that fragments are keys of, for a document with one
// key whose value is a text: the document, and, where the text is itself a JSON
// object, which is how [store] keeps one, the members of that object beside it.
func fragments(key, text string, whole []byte) []byte {
	var inner map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &inner) != nil || len(inner) == 0 {
		return whole
	}
	if _, taken := inner[key]; taken {
		return whole
	}
	object := bytes.TrimSpace([]byte(text))
	return append(append(whole[:len(whole)-1:len(whole)-1], ','), object[1:]...)
}

// encode gives what Vault's client decoded as JSON: keys sorted, numbers as they
// were spelt, nothing escaped that need not be.
func encode(value any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		panic("hashivault: what was JSON is not any more") // and not err, which may quote it
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
