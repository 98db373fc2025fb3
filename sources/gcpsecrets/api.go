package gcpsecrets

import (
	"encoding/base64"
	"hash/crc32"
	"net/http"
	"net/url"
	"path"
	"sync"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/sources/perkey"
)

// The requests of the API that we make.
var (
	accessing = perkey.Request{Method: "AccessSecretVersion", Permission: "secretmanager.versions.access", Done: "read", Again: true}
	looking   = perkey.Request{Method: "GetSecret", Permission: "secretmanager.secrets.get", Done: "looked at", Again: true}
	numbering = perkey.Request{Method: "GetSecretVersion", Permission: "secretmanager.versions.get", Done: "looked at", Again: true}
	listing   = perkey.Request{Method: "ListSecrets", Permission: "secretmanager.secrets.list", Done: "listed", Again: true}
	// Once more does no harm: a secret that is there already goes the way of an
	// update, which knows its own claim.
	creating = perkey.Request{Method: "CreateSecret", Permission: "secretmanager.secrets.create", Done: "created", Writes: true, Again: true}
	claiming = perkey.Request{Method: "UpdateSecret", Permission: "secretmanager.secrets.update", Done: "changed", Writes: true}
	adding   = perkey.Request{Method: "AddSecretVersion", Permission: "secretmanager.versions.add", Done: "changed", Writes: true}
	deleting = perkey.Request{Method: "DeleteSecret", Permission: "secretmanager.secrets.delete", Done: "deleted", Writes: true, Again: true}
)

// secret is what GCP keeps of a secret beside its versions.
type secret struct {
	Name        string            `json:"name,omitempty"`
	Etag        string            `json:"etag,omitempty"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	Replication *replication      `json:"replication,omitempty"`
	Rotation    *struct {
		NextRotationTime, RotationPeriod string
	} `json:"rotation,omitempty"`
}

type replication struct {
	Automatic struct{} `json:"automatic"`
}

// version is one version, and its value where that was asked for.
type version struct {
	Name    string   `json:"name,omitempty"`
	Payload *payload `json:"payload,omitempty"`
}

type payload struct {
	Data       string `json:"data"`
	DataCrc32c int64  `json:"dataCrc32c,string"`
}

// call makes one request about a secret, or about the project. of is its path,
// from the name of the project on.
func (s *source) call(o *operation, r perkey.Request, n perkey.Name, method, of string, query url.Values, in, out any) *sources.Error {
	address := url.URL{Scheme: "https", Host: host, Path: "/v1/" + of, RawQuery: query.Encode()}
	return o.Call(r, n, func(sess *session) *sources.Error {
		err := sess.http.Do(o.Ctx, r, method, address.String(), in, out)
		if err != nil {
			return s.fault(o, r, n, err)
		}
		return nil
	})
}

// read returns the value of a secret.
func (s *source) read(o *operation, n perkey.Name) (sources.Result, *sources.Error) {
	b, version, fault := s.access(o, n)
	return sources.Result{Value: sources.NewSecret(b), Version: version}, fault
}

var castagnoli = sync.OnceValue(func() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) })

func checksum(b []byte) int64 { return int64(crc32.Checksum(b, castagnoli())) }

// access reads one version of a secret.
func (s *source) access(o *operation, n perkey.Name) (value []byte, number string, fault *sources.Error) {
	var got version
	if fault := s.call(o, accessing, n, http.MethodGet, versioned(n)+":access", nil, nil, &got); fault != nil {
		return nil, "", fault
	}
	torn := func(what string) *sources.Error {
		return &sources.Error{Kind: sources.Unusable, Name: n.Text, Message: s.subject(n) + " did not arrive whole: " + what, Hint: "run again"}
	}
	if got.Payload == nil || got.Name == "" {
		return nil, "", torn("the answer has no payload")
	}
	if !owns(n, got.Name) {
		return nil, "", netfault.Other(host, n.Text)
	}
	b, err := base64.StdEncoding.DecodeString(got.Payload.Data)
	if err != nil { // its text quotes nothing, and says nothing either
		return nil, "", torn("the payload is not base64")
	}
	// GCP keeps a checksum of every version; 0 is what is absent.
	if sum := got.Payload.DataCrc32c; sum != 0 && sum != checksum(b) {
		return nil, "", torn("its CRC32C checksum is another")
	}
	return b, path.Base(got.Name), nil
}

// page asks for a page of the list of secrets of the project.
func (s *source) page(o *operation, size, token string) (secrets []*secret, next string, fault *sources.Error) {
	var got struct {
		Secrets       []*secret
		NextPageToken string
	}
	query := url.Values{"pageSize": {size}}
	if token != "" {
		query.Set("pageToken", token)
	}
	fault = s.call(o, listing, perkey.Name{}, http.MethodGet, "projects/"+s.project+"/secrets", query, nil, &got)
	return got.Secrets, got.NextPageToken, fault
}

// reach asks for one entry of the list of secrets.
func (s *source) reach(o *operation) *sources.Error {
	_, _, fault := s.page(o, "1", "")
	return fault
}
