package azuretest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"bifrost-secrets/sources/cloudtest"
)

type secret struct {
	name     string // as it was first spelt
	versions []*version
	deleted  time.Time // zero where it is not
	pending  int       // requests until the deletion is done
	managed  bool
}

type version struct {
	id                 string
	value              string
	tags               map[string]string
	disabled           bool
	expires, notBefore time.Time
	created            time.Time
}

var nameForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9A-Za-z-]{1,127}$`) }) // slow to make

// maxValue is the limit of the real service.
const maxValue = 25_600

// Put adds a new version to a secret, as a person does who sets a value and no
// tags.
func (f *Fake) Put(name, value string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.set(name, value, nil)
}

func (f *Fake) set(name, value string, tags map[string]string) *secret {
	if !nameForm().MatchString(name) {
		panic("azure cannot have a secret of the name " + name)
	}
	key := strings.ToLower(name)
	if f.secrets[key] == nil {
		f.secrets[key] = &secret{name: name}
	}
	f.versions++
	s := f.secrets[key]
	s.versions = append(s.versions, &version{id: fmt.Sprintf("%032x", f.versions), value: value, tags: tags, created: time.Now()})
	return s
}

// Change changes the newest version of a secret.
func (f *Fake) Change(name string, enabled bool, notBefore, expires time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.secrets[strings.ToLower(name)].newest()
	v.disabled, v.notBefore, v.expires = !enabled, notBefore, expires
}

// Disable disables the newest version of a secret.
func (f *Fake) Disable(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.secrets[strings.ToLower(name)].newest().disabled = true
}

// Manage makes a secret the private part of a certificate, which the vault renews.
func (f *Fake) Manage(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.secrets[strings.ToLower(name)].managed = true
}

// Tag sets a tag of the newest version of a secret.
func (f *Fake) Tag(name, key, value string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.secrets[strings.ToLower(name)].newest()
	v.tags = maps.Clone(v.tags)
	if v.tags == nil {
		v.tags = map[string]string{}
	}
	v.tags[key] = value
}

// Tags returns those of the newest version.
func (f *Fake) Tags(name string) map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.secrets[strings.ToLower(name)].newest().tags)
}

// Newest returns the newest version of a secret.
func (f *Fake) Newest(name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.secrets[strings.ToLower(name)].newest().id
}

// Deny makes a secret one that may not be read.
func (f *Fake) Deny(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.denied[strings.ToLower(name)] = true
}

// Versions returns the number of versions of a secret.
func (f *Fake) Versions(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.secrets[strings.ToLower(name)]; s != nil {
		return len(s.versions)
	}
	return 0
}

// Metadata returns all that is kept beside the values.
func (f *Fake) Metadata() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, s := range f.secrets {
		for _, v := range s.versions {
			fmt.Fprintf(&b, "%s %s %v\n", s.name, v.id, v.tags)
		}
	}
	return b.String()
}

func (s *secret) newest() *version { return s.versions[len(s.versions)-1] }

func (f *Fake) attributes(v *version) map[string]any {
	level := "Recoverable+Purgeable"
	if f.protected {
		level = "Recoverable"
	}
	out := map[string]any{"enabled": !v.disabled, "created": v.created.Unix(), "updated": v.created.Unix(), "recoveryLevel": level, "recoverableDays": retention}
	if !v.expires.IsZero() {
		out["exp"] = v.expires.Unix()
	}
	if !v.notBefore.IsZero() {
		out["nbf"] = v.notBefore.Unix()
	}
	return out
}

// shown returns a version, with its own id or, in lists of secrets, without.
func (f *Fake) shown(s *secret, v *version, whole bool) map[string]any {
	id := URL + "/secrets/" + s.name
	if whole {
		id += "/" + v.id
	}
	out := map[string]any{"id": id, "attributes": f.attributes(v), "tags": v.tags}
	if s.managed {
		out["managed"] = true
	}
	if !s.deleted.IsZero() {
		out["recoveryId"] = URL + "/deletedsecrets/" + s.name
		out["deletedDate"], out["scheduledPurgeDate"] = s.deleted.Unix(), s.purgedAt().Unix()
	}
	return out
}

func notFound(name string) cloudtest.Answer {
	return failed(http.StatusNotFound, "SecretNotFound", "", fmt.Sprintf("A secret with (name/id) %s was not found in this key vault.", name))
}

func denial(what string) cloudtest.Answer {
	verbs := map[string]string{
		"GetSecret": "getSecret", "SetSecret": "setSecret", "DeleteSecret": "delete", "PurgeDeletedSecret": "purge",
	}
	return failed(http.StatusForbidden, "Forbidden", "ForbiddenByRbac", fmt.Sprintf(
		"Caller is not authorized to perform action on resource.\nCaller: appid=%s\nAction: 'Microsoft.KeyVault/vaults/secrets/%s/action'", ClientID, verbs[what]))
}

// vault answers a request that is signed.
func (f *Fake) vault(what string, r *http.Request, body []byte) cloudtest.Answer {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if slices.Contains([]string{"SetSecret", "DeleteSecret", "PurgeDeletedSecret"}, what) && f.DenyWrites() {
		return denial(what)
	}
	switch what {
	case "ListSecretProperties":
		return f.page(r, f.those(false))
	case "ListDeletedSecretProperties":
		return f.page(r, f.those(true))
	case "SetSecret":
		return f.write(parts[1], body)
	}
	name := parts[1]
	key := strings.ToLower(name)
	s := f.secrets[key]
	if what == "GetDeletedSecret" || what == "PurgeDeletedSecret" {
		return f.deleted(what, key, s)
	}
	if s == nil || !s.deleted.IsZero() {
		return notFound(name)
	}
	switch what {
	case "ListSecretPropertiesVersions":
		var all []any
		for _, v := range s.versions {
			all = append(all, f.shown(s, v, true))
		}
		return f.page(r, all)
	case "DeleteSecret":
		s.deleted, s.pending = time.Now(), f.slow
		return cloudtest.JSON(http.StatusOK, f.shown(s, s.newest(), true))
	case "GetSecret":
		if f.denied[key] {
			return denial(what)
		}
	}
	v := s.newest()
	if len(parts) > 2 {
		n := slices.IndexFunc(s.versions, func(v *version) bool { return v.id == parts[2] })
		if n < 0 {
			return notFound(name + "/" + parts[2])
		}
		v = s.versions[n]
	}
	if v.disabled {
		return failed(http.StatusForbidden, "Forbidden", "SecretDisabled", "Operation get is not allowed on a disabled secret.")
	}
	// The real service returns the value of a secret that has expired as well.
	out := f.shown(s, v, true)
	out["value"] = v.value
	return cloudtest.JSON(http.StatusOK, out)
}

func (f *Fake) those(deleted bool) (all []any) {
	for _, key := range slices.Sorted(maps.Keys(f.secrets)) {
		if s := f.secrets[key]; s.deleted.IsZero() != deleted {
			all = append(all, f.shown(s, s.newest(), false))
		}
	}
	return all
}

// page returns 25 at most, as the real service does.
func (f *Fake) page(r *http.Request, all []any) cloudtest.Answer {
	const size = 25
	from, _ := strconv.Atoi(r.URL.Query().Get("$skiptoken"))
	out := map[string]any{"nextLink": nil}
	all = all[min(from, len(all)):]
	if len(all) > size {
		all = all[:size]
		out["nextLink"] = fmt.Sprintf("%s:443%s?api-version=%s&$skiptoken=%d", URL, r.URL.Path, r.URL.Query().Get("api-version"), from+size)
	}
	out["value"] = append([]any{}, all...) // never null
	return cloudtest.JSON(http.StatusOK, out)
}

func (f *Fake) write(name string, body []byte) cloudtest.Answer {
	var in struct {
		Value *string
		Tags  map[string]string
	}
	bad := failed(http.StatusBadRequest, "BadParameter", "", "The request is not valid.")
	if err := json.Unmarshal(body, &in); err != nil || in.Value == nil || len(*in.Value) > maxValue || !nameForm().MatchString(name) || len(in.Tags) > 15 {
		return bad
	}
	for k, v := range in.Tags {
		if len(k) > 256 || len(v) > 256 {
			return bad
		}
	}
	switch s := f.secrets[strings.ToLower(name)]; {
	case s != nil && s.pending > 0:
		return failed(http.StatusConflict, "Conflict", "ObjectIsBeingDeleted", "Secret is currently being deleted.")
	case s != nil && !s.deleted.IsZero():
		return failed(http.StatusConflict, "Conflict", "ObjectIsDeletedButRecoverable", "Secret is currently in a deleted but recoverable state, and its name cannot be reused.")
	}
	s := f.set(name, *in.Value, in.Tags)
	out := f.shown(s, s.newest(), true)
	out["value"] = *in.Value
	return cloudtest.JSON(http.StatusOK, out)
}

func (f *Fake) deleted(what, key string, s *secret) cloudtest.Answer {
	if s == nil || s.deleted.IsZero() {
		return notFound(key)
	}
	if s.pending > 0 {
		s.pending--
		if what == "PurgeDeletedSecret" {
			return failed(http.StatusConflict, "Conflict", "ObjectIsBeingDeleted", "Secret is currently being deleted.")
		}
		return notFound(key)
	}
	if what == "GetDeletedSecret" {
		return cloudtest.JSON(http.StatusOK, f.shown(s, s.newest(), true))
	}
	if f.protected {
		return failed(http.StatusForbidden, "Forbidden", "", "Operation \"purge\" is not enabled for this vault.")
	}
	delete(f.secrets, key)
	return cloudtest.Answer{Status: http.StatusNoContent}
}
