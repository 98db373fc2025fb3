package vaulttest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// mount is a secrets engine.
type mount struct {
	kind        string // empty is kv
	version     int
	casRequired bool
	keys        map[string]*key
}

// key is one secret: of version 1, its newest document is all there is.
type key struct {
	versions []*version
	custom   map[string]string
}

type version struct {
	document  []byte
	created   time.Time
	deleted   time.Time
	destroyed bool
}

func (v *version) about() map[string]any {
	about := map[string]any{"created_time": v.created.UTC().Format(time.RFC3339Nano), "deletion_time": "", "destroyed": v.destroyed}
	if !v.deleted.IsZero() {
		about["deletion_time"] = v.deleted.UTC().Format(time.RFC3339Nano)
	}
	return about
}

func (f *Fake) kv(r *http.Request, namespace, path string, t *token) answer {
	name, m := "", (*mount)(nil)
	for candidate, one := range f.mounts {
		rest, ok := strings.CutPrefix(candidate, namespace)
		if after, in := strings.CutPrefix(path, rest+"/"); ok && in && one.keys != nil {
			name, m = after, one
		} else if ok && path == rest && one.keys != nil {
			name, m = "", one
		}
	}
	if m == nil {
		return fail(404, fmt.Sprintf("no handler for route %q. route entry not found.", path))
	}
	what := "data"
	if m.version == 2 {
		what, name, _ = strings.Cut(name, "/")
	}
	list := r.URL.Query().Get("list") == "true"
	capability := map[string]string{http.MethodGet: "read", http.MethodPut: "update", http.MethodPost: "update", http.MethodPatch: "patch", http.MethodDelete: "delete"}[r.Method]
	switch k := m.keys[name]; {
	case list:
		capability = "list"
		if !strings.HasSuffix(path, "/") {
			path += "/"
		}
	case capability == "update" && what == "data" && (k == nil || len(k.versions) == 0), capability == "update" && what == "metadata" && k == nil:
		capability = "create"
	}
	if !f.allows(t, capability, path) {
		return denied
	}
	if strings.IndexFunc(name, func(c rune) bool { return !unicode.IsPrint(c) }) >= 0 {
		return fail(400, "path cannot contain non-printable characters")
	}
	var in map[string]any
	if r.Body != nil && r.ContentLength != 0 {
		d := json.NewDecoder(r.Body)
		d.UseNumber()
		if d.Decode(&in) != nil {
			return fail(400, "failed to parse JSON input")
		}
	}
	switch {
	case list && (m.version == 1 || what == "metadata"):
		return m.list(name)
	case m.version == 1:
		return m.old(capability, name, in, time.Now())
	case what == "data" && capability == "read":
		return m.read(name, time.Now())
	case what == "data" && (capability == "create" || capability == "update"):
		return m.write(name, in, time.Now())
	case what == "metadata":
		return m.metadata(capability, name, in)
	case what == "delete" && capability == "update":
		return m.delete(name, in, time.Now())
	}
	if m.version == 2 && what != "data" && what != "metadata" && what != "delete" {
		return answer{status: 404, warnings: []string{"Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. If using the Vault CLI, use 'vault kv get' for this operation."}}
	}
	return fail(405, "unsupported operation")
}

func (m *mount) list(folder string) answer {
	if folder = strings.TrimSuffix(folder, "/"); folder != "" {
		folder += "/"
	}
	found := map[string]bool{}
	for name := range m.keys {
		rest, ok := strings.CutPrefix(name, folder)
		if !ok {
			continue
		}
		if head, _, below := strings.Cut(rest, "/"); below {
			rest = head + "/"
		}
		found[rest] = true
	}
	if len(found) == 0 {
		return answer{status: 404}
	}
	return answer{status: 200, data: map[string]any{"keys": slices.Sorted(maps.Keys(found))}}
}

func (m *mount) old(capability, name string, in map[string]any, now time.Time) answer {
	k := m.keys[name]
	switch capability {
	case "read":
		if k == nil {
			return answer{status: 404}
		}
		return answer{status: 200, data: json.RawMessage(k.versions[0].document)}
	case "create", "update":
		b, _ := json.Marshal(in)
		m.keys[name] = &key{versions: []*version{{document: b, created: now}}}
		return answer{status: 204}
	case "delete":
		delete(m.keys, name)
		return answer{status: 204}
	}
	return fail(405, "unsupported operation")
}

func (m *mount) read(name string, now time.Time) answer {
	k := m.keys[name]
	if k == nil || len(k.versions) == 0 {
		return answer{status: 404}
	}
	v := k.versions[len(k.versions)-1]
	about := v.about()
	about["version"], about["custom_metadata"] = len(k.versions), maps.Clone(k.custom)
	data := map[string]any{"data": nil, "metadata": about}
	if v.destroyed || !v.deleted.IsZero() && !v.deleted.After(now) {
		return answer{status: 404, data: data}
	}
	// As the engine does: a number becomes one of 64 bits.
	var document map[string]any
	if err := json.Unmarshal(v.document, &document); err != nil {
		return fail(500, "1 error occurred")
	}
	data["data"] = document
	return answer{status: 200, data: data}
}

func (m *mount) write(name string, in map[string]any, now time.Time) answer {
	document, ok := in["data"].(map[string]any)
	if !ok {
		return fail(400, "no data provided")
	}
	k := m.keys[name]
	if k == nil {
		k = &key{}
	}
	options, _ := in["options"].(map[string]any)
	switch cas, given := options["cas"].(json.Number); {
	case given && cas.String() != strconv.Itoa(len(k.versions)):
		return fail(400, "check-and-set parameter did not match the current version")
	case !given && m.casRequired:
		return fail(400, "check-and-set parameter required for this call")
	}
	b, _ := json.Marshal(document)
	m.keys[name] = k
	k.versions = append(k.versions, &version{document: b, created: now})
	about := k.versions[len(k.versions)-1].about()
	about["version"], about["custom_metadata"] = len(k.versions), maps.Clone(k.custom)
	return answer{status: 200, data: about}
}

func (m *mount) metadata(capability, name string, in map[string]any) answer {
	k := m.keys[name]
	if k == nil && capability == "create" {
		k = &key{}
		m.keys[name] = k
	}
	custom, _ := in["custom_metadata"].(map[string]any)
	switch {
	case capability == "delete":
		delete(m.keys, name)
		return answer{status: 204}
	case k == nil:
		return answer{status: 404}
	case capability == "read":
		versions := map[string]any{}
		for i, v := range k.versions {
			versions[strconv.Itoa(i+1)] = v.about()
		}
		return answer{status: 200, data: map[string]any{"versions": versions, "current_version": len(k.versions), "custom_metadata": maps.Clone(k.custom), "cas_required": false, "max_versions": 0}}
	case capability == "patch" || custom == nil:
		for key, value := range custom {
			if k.custom == nil {
				k.custom = map[string]string{}
			}
			if value == nil {
				delete(k.custom, key)
			} else {
				k.custom[key], _ = value.(string)
			}
		}
	default:
		k.custom = map[string]string{}
		for key, value := range custom {
			k.custom[key], _ = value.(string)
		}
	}
	for key, value := range k.custom {
		if key == "" || len(key) > 128 || value == "" || len(value) > 512 || len(k.custom) > 64 || strings.IndexFunc(value, func(c rune) bool { return !unicode.IsPrint(c) }) >= 0 {
			delete(k.custom, key)
			return fail(400, "custom_metadata validation failed")
		}
	}
	return answer{status: 204}
}

func (m *mount) delete(name string, in map[string]any, now time.Time) answer {
	numbers, _ := in["versions"].([]any)
	if len(numbers) == 0 {
		return fail(400, "No version number provided")
	}
	if k := m.keys[name]; k != nil {
		for _, one := range numbers {
			n, err := strconv.Atoi(fmt.Sprint(one))
			if err == nil && n >= 1 && n <= len(k.versions) && k.versions[n-1].deleted.IsZero() {
				k.versions[n-1].deleted = now
			}
		}
	}
	return answer{status: 204}
}
