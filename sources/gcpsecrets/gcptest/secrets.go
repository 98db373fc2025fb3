package gcptest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"bifrost-secrets/sources/cloudtest"
)

type secret struct {
	labels, annotations map[string]string
	etag                string
	rotation            bool
	versions            []*version // the first is 1
}

type version struct {
	data  []byte
	state string // ENABLED, DISABLED or DESTROYED
	torn  bool   // its checksum is that of something else
}

// maxPayload is the limit of the real service.
const maxPayload = 65_536

var idForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`) }) // slow to make

// Put adds a new version to a secret, as a person does with gcloud.
func (f *Fake) Put(id string, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !idForm().MatchString(id) {
		panic("gcp cannot have a secret with the id " + id)
	}
	if f.secrets[id] == nil {
		f.secrets[id] = &secret{etag: f.newEtag()}
	}
	f.secrets[id].versions = append(f.secrets[id].versions, &version{data: data, state: "ENABLED"})
}

// Create makes a secret without a version.
func (f *Fake) Create(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.secrets[id] = &secret{etag: f.newEtag()}
}

// SetState sets the state of the newest version of a secret.
func (f *Fake) SetState(id, state string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.secrets[id].newest().state = state
}

// Tear makes the newest version arrive with the checksum of something else.
func (f *Fake) Tear(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.secrets[id].newest().torn = true
}

// Rotate adds a schedule of rotation to a secret.
func (f *Fake) Rotate(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.secrets[id].rotation = true
}

// Deny makes a secret one that may not be read.
func (f *Fake) Deny(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.denied[id] = true
}

// DenyListing makes the project one whose secrets may not be listed.
func (f *Fake) DenyListing() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.denied["/list"] = true
}

// Versions returns the number of versions of a secret.
func (f *Fake) Versions(id string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.secrets[id] == nil {
		return 0
	}
	return len(f.secrets[id].versions)
}

// Annotate sets an annotation and a label, as a person does.
func (f *Fake) Annotate(id, key, value string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.secrets[id]
	if s.annotations == nil {
		s.annotations = map[string]string{}
	}
	s.annotations[key], s.etag = value, f.newEtag()
}

// Annotations returns those of a secret.
func (f *Fake) Annotations(id string) map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.secrets[id].annotations)
}

// Metadata returns all that is kept beside the values.
func (f *Fake) Metadata() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(f.secrets)) {
		s := f.secrets[id]
		fmt.Fprintf(&b, "%s %v %v %s\n", id, s.labels, s.annotations, s.etag)
	}
	return b.String()
}

func (f *Fake) newEtag() string {
	f.etags++
	return fmt.Sprintf(`"%016x"`, f.etags)
}

func (s *secret) newest() *version { return s.versions[len(s.versions)-1] }

func resource(id string) string { return "projects/" + Number + "/secrets/" + id }

func (s *secret) shown(id string) map[string]any {
	out := map[string]any{
		"name": resource(id), "replication": map[string]any{"automatic": map[string]any{}},
		"createTime": "2026-01-02T03:04:05Z", "etag": s.etag, "labels": s.labels, "annotations": s.annotations,
	}
	if s.rotation {
		out["rotation"] = map[string]string{"nextRotationTime": "2027-01-02T03:04:05Z", "rotationPeriod": "2592000s"}
	}
	return out
}

var writes = []string{"CreateSecret", "UpdateSecret", "DeleteSecret", "AddSecretVersion"}

var permissions = map[string]string{
	"AccessSecretVersion": "versions.access", "AddSecretVersion": "versions.add", "GetSecretVersion": "versions.get", "CreateSecret": "secrets.create",
	"UpdateSecret": "secrets.update", "DeleteSecret": "secrets.delete", "ListSecrets": "secrets.list", "GetSecret": "secrets.get",
}

func denial(what, resource string) cloudtest.Answer {
	permission := "secretmanager." + permissions[what]
	return failure(403, "PERMISSION_DENIED", fmt.Sprintf("Permission '%s' denied for resource '%s' (or it may not exist).", permission, resource), map[string]any{
		"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "IAM_PERMISSION_DENIED", "domain": "iam.googleapis.com",
		"metadata": map[string]string{"permission": permission, "resource": resource},
	})
}

// secretManager answers a request that is signed.
func (f *Fake) secretManager(what string, r *http.Request, body []byte) cloudtest.Answer {
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	parts := strings.Split(strings.TrimSuffix(strings.TrimSuffix(path, ":access"), ":addVersion"), "/")
	if len(parts) < 3 || parts[0] != "projects" || parts[1] != Project && parts[1] != Number || parts[2] != "secrets" {
		return denial(what, path)
	}
	if slices.Contains(writes, what) && f.DenyWrites() {
		return denial(what, path)
	}
	switch what {
	case "ListSecrets":
		if f.denied["/list"] {
			return denial(what, "projects/"+Project)
		}
		return f.list(r)
	case "CreateSecret":
		return f.create(r.URL.Query().Get("secretId"), body)
	}
	id := parts[3]
	s := f.secrets[id]
	if f.denied[id] && what == "AccessSecretVersion" {
		return denial(what, path)
	}
	if s == nil {
		return failed("NOT_FOUND", "Secret [%s] not found or has no versions.", resource(id))
	}
	switch what {
	case "GetSecret":
		return cloudtest.JSON(200, s.shown(id))
	case "UpdateSecret":
		return f.update(s, id, r, body)
	case "DeleteSecret":
		if etag := r.URL.Query().Get("etag"); etag != "" && etag != s.etag {
			return failed("FAILED_PRECONDITION", "The etag does not match.")
		}
		delete(f.secrets, id)
		return cloudtest.JSON(200, map[string]any{})
	case "AddSecretVersion":
		return s.add(id, body)
	}
	return s.read(what, id, parts[5])
}

func (f *Fake) list(r *http.Request) cloudtest.Answer {
	size, _ := strconv.Atoi(r.URL.Query().Get("pageSize"))
	if size <= 0 || size > 25_000 {
		size = 25_000
	}
	from, _ := strconv.Atoi(r.URL.Query().Get("pageToken"))
	ids := slices.Sorted(maps.Keys(f.secrets))
	out := map[string]any{"totalSize": len(ids)}
	ids = ids[min(from, len(ids)):]
	if len(ids) > size {
		ids, out["nextPageToken"] = ids[:size], strconv.Itoa(from+size)
	}
	var secrets []any
	for _, id := range ids {
		secrets = append(secrets, f.secrets[id].shown(id))
	}
	out["secrets"] = secrets
	return cloudtest.JSON(200, out)
}

func (f *Fake) create(id string, body []byte) cloudtest.Answer {
	var in struct {
		Labels, Annotations map[string]string
		Replication         struct{ Automatic *struct{} }
	}
	if err := json.Unmarshal(body, &in); err != nil || !idForm().MatchString(id) || in.Replication.Automatic == nil {
		return failed("INVALID_ARGUMENT", "The request is not valid.")
	}
	if f.secrets[id] != nil {
		return failed("ALREADY_EXISTS", "Secret [%s] already exists.", resource(id))
	}
	if bad := badMarks(in.Labels, in.Annotations); bad != "" {
		return failed("INVALID_ARGUMENT", "%s", bad)
	}
	f.secrets[id] = &secret{labels: in.Labels, annotations: in.Annotations, etag: f.newEtag()}
	return cloudtest.JSON(200, f.secrets[id].shown(id))
}

var (
	labelKey      = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`) })
	labelValue    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9_-]{0,63}$`) })
	annotationKey = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`) })
)

// badMarks finds what the real service would refuse.
func badMarks(labels, annotations map[string]string) string {
	for k, v := range labels {
		if !labelKey().MatchString(k) || !labelValue().MatchString(v) {
			return "The label is not valid."
		}
	}
	size := 0
	for k, v := range annotations {
		if size += len(k) + len(v); !annotationKey().MatchString(k) {
			return "The key of the annotation is not valid."
		}
	}
	if size > 16<<10 {
		return "The annotations are too large."
	}
	return ""
}

func (f *Fake) update(s *secret, id string, r *http.Request, body []byte) cloudtest.Answer {
	var in struct {
		Etag                string
		Labels, Annotations map[string]string
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return failed("INVALID_ARGUMENT", "The request is not valid.")
	}
	if in.Etag != "" && in.Etag != s.etag {
		return failed("FAILED_PRECONDITION", "The etag does not match.")
	}
	if bad := badMarks(in.Labels, in.Annotations); bad != "" {
		return failed("INVALID_ARGUMENT", "%s", bad)
	}
	for field := range strings.SplitSeq(r.URL.Query().Get("updateMask"), ",") {
		switch field {
		case "annotations":
			s.annotations = in.Annotations
		case "labels":
			s.labels = in.Labels
		default:
			return failed("INVALID_ARGUMENT", "The mask is not valid.")
		}
	}
	s.etag = f.newEtag()
	return cloudtest.JSON(200, s.shown(id))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *secret) add(id string, body []byte) cloudtest.Answer {
	var in struct {
		Payload struct {
			Data       []byte
			DataCrc32c string
		}
	}
	if err := json.Unmarshal(body, &in); err != nil || len(in.Payload.Data) == 0 || len(in.Payload.Data) > maxPayload {
		return failed("INVALID_ARGUMENT", "The payload is not valid.")
	}
	if in.Payload.DataCrc32c != fmt.Sprint(crc32.Checksum(in.Payload.Data, castagnoli)) {
		return failed("INVALID_ARGUMENT", "The checksum is not that of the payload.")
	}
	s.versions = append(s.versions, &version{data: in.Payload.Data, state: "ENABLED"})
	return cloudtest.JSON(200, s.versionShown(id, len(s.versions)))
}

func (s *secret) versionShown(id string, n int) map[string]any {
	return map[string]any{"name": fmt.Sprintf("%s/versions/%d", resource(id), n), "state": s.versions[n-1].state, "etag": `"1"`}
}

func (s *secret) read(what, id, asked string) cloudtest.Answer {
	n, err := strconv.Atoi(asked)
	if asked == "latest" {
		n, err = len(s.versions), nil
	}
	switch {
	case len(s.versions) == 0:
		return failed("NOT_FOUND", "Secret [%s] not found or has no versions.", resource(id))
	case err != nil || n < 1 || n > len(s.versions):
		return failed("NOT_FOUND", "Secret Version [%s/versions/%s] not found.", resource(id), asked)
	case what == "GetSecretVersion":
		return cloudtest.JSON(200, s.versionShown(id, n))
	}
	v := s.versions[n-1]
	if v.state != "ENABLED" {
		return failed("FAILED_PRECONDITION", "Secret Version [%s/versions/%d] is in %s state.", resource(id), n, v.state)
	}
	sum := crc32.Checksum(v.data, castagnoli)
	if v.torn {
		sum++
	}
	return cloudtest.JSON(200, map[string]any{
		"name":    fmt.Sprintf("%s/versions/%d", resource(id), n),
		"payload": map[string]string{"data": base64.StdEncoding.EncodeToString(v.data), "dataCrc32c": strconv.FormatUint(uint64(sum), 10)},
	})
}
