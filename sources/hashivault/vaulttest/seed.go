package vaulttest

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"
)

// Put stores a text as a person does: `vault kv put secret/NAME value=TEXT`.
func (f *Fake) Put(name, text string) {
	b, err := json.Marshal(map[string]string{"value": text})
	if err != nil {
		panic(err)
	}
	f.PutDocument("secret", name, string(b))
}

// PutDocument stores a JSON document in a mount, which team-a/ before its name
// makes one of that namespace.
func (f *Fake) PutDocument(mount, name, document string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.mounts[mount]
	if m.version == 1 {
		delete(m.keys, name)
	}
	k := m.keys[name]
	if k == nil {
		k = &key{}
		m.keys[name] = k
	}
	k.versions = append(k.versions, &version{document: []byte(document), created: time.Now()})
}

// Mount makes a mount one of another version, with the secrets that it had.
func (f *Fake) Mount(name string, version int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mounts[name].version = version
}

// Change does something to the newest version of a secret in the mount secret:
// `delete` and `destroy` do what those of the vault do.
func (f *Fake) Change(name, what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := f.mounts["secret"].keys[name]
	v := k.versions[len(k.versions)-1]
	switch what {
	case "delete":
		v.deleted = time.Now()
	case "destroy":
		v.destroyed = true
	}
}

// CASRequired makes the mount secret refuse writes without a check-and-set.
func (f *Fake) CASRequired() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mounts["secret"].casRequired = true
}

// SetCustom replaces the custom metadata of a secret in the mount secret.
func (f *Fake) SetCustom(name string, custom map[string]string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mounts["secret"].keys[name].custom = custom
}

// Custom returns the custom metadata of a secret in the mount secret.
func (f *Fake) Custom(name string) map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if k := f.mounts["secret"].keys[name]; k != nil {
		return maps.Clone(k.custom)
	}
	return nil
}

// Versions is how many versions a secret in the mount secret has.
func (f *Fake) Versions(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if k := f.mounts["secret"].keys[name]; k != nil {
		return len(k.versions)
	}
	return 0
}

// Metadata is all that the mount secret keeps beside the values.
func (f *Fake) Metadata() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for name, k := range f.mounts["secret"].keys {
		fmt.Fprintln(&b, name, k.custom)
		for _, v := range k.versions {
			fmt.Fprintln(&b, v.about())
		}
	}
	return b.String()
}
