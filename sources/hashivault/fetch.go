package hashivault

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/hashicorp/vault/api"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/perkey"
)

// read returns the value of a secret.
func (s *source) read(o *operation, n perkey.Name) (sources.Result, *sources.Error) {
	var none sources.Result
	engine := s.engine.Load()
	got, fault := s.call(o, reading, n, (*api.Logical).ReadWithContext)
	switch {
	case fault != nil:
		return none, fault
	case got == nil:
		engine.doubted.Store(true)
		return none, s.notFound(n)
	case engine.version == 1 && got.Data != nil && got.RequestID != "":
		return result(n, got.Data, "")
	case engine.version == 1:
		// The engine of version 2 answers with a warning alone, and what is no answer
		// of vault has no request id: the client then takes all of it for the document.
		engine.doubted.Store(true)
		return none, s.noDocument(engine)
	}
	about, _ := got.Data["metadata"].(map[string]any)
	version, _ := about["version"].(json.Number)
	document, there := got.Data["data"].(map[string]any)
	switch deleted, _ := about["deletion_time"].(string); {
	case about["destroyed"] == true:
		return none, disabled(fmt.Sprintf("%s has no value: version %s is destroyed", subject(n), version), "store a new version of it")
	case !there && deleted != "":
		return none, disabled(fmt.Sprintf("%s is deleted: version %s can be brought back", subject(n), version), "bring it back: "+s.undelete(n, version.String()))
	case !there:
		return none, s.noDocument(engine)
	}
	return result(n, document, version.String())
}

func (s *source) noDocument(engine *engine) *sources.Error {
	return s.unreachable(fmt.Sprintf("an answer without a document; is %s a mount of the type kv, version %d?", s.mount, engine.version), nil)
}

func disabled(message, hint string) *sources.Error {
	return &sources.Error{Kind: sources.Disabled, Message: message, Hint: hint}
}

func (s *source) undelete(n perkey.Name, version string) string {
	return fmt.Sprintf("vault kv undelete -mount=%s -versions=%s %s", s.mount, version, n.ID)
}

// result returns the result of a document.
func result(n perkey.Name, document map[string]any, version string) (sources.Result, *sources.Error) {
	unusable := func(what, hint string) (sources.Result, *sources.Error) {
		return sources.Result{}, &sources.Error{Kind: sources.Unusable, Message: subject(n) + " " + what, Hint: hint}
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

// fragments returns the object that fragments are keys of, for a document with one
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

// encode returns what Vault's client decoded as JSON: keys sorted, numbers as they
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
