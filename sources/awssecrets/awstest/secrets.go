package awstest

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// State is what is the matter with a secret.
type State int

// The states of a secret.
const (
	Readable      State = iota
	Denied              // AccessDeniedException
	KMSDenied           // AccessDeniedException that speaks of KMS
	Undecryptable       // DecryptionFailure
	Deleted             // scheduled for deletion
	NoValue             // it has no current version
	Rotated             // readable, and rotated by itself
)

// secret is one secret. Its JSON form is that of the protocol.
type secret struct {
	ARN          string  `json:",omitempty"`
	Name         string  `json:",omitempty"`
	SecretString *string `json:",omitempty"`
	SecretBinary []byte  `json:",omitempty"`
	VersionID    string  `json:"VersionId,omitempty"`
	state        State
	past         []string // the versions before, the oldest first
	tags         map[string]string
	kmsKey       string
	deleted      time.Time // when it is to be gone; zero where it is not
}

// itemError is one entry of the Errors of a batch.
type itemError struct {
	SecretID  string `json:"SecretId"`
	ErrorCode string
	Message   string
}

// Put stores text in the account and the region of an Env, under a new version,
// and returns the ARN. Tags of a secret that exists stay.
func (f *Fake) Put(name, text string) (arn string) {
	return f.PutIn(Account, Region, name, text)
}

// PutIn stores text in an account and a region.
func (f *Fake) PutIn(account, region, name, text string) (arn string) {
	return f.put(account, region, secret{Name: name, SecretString: &text})
}

// PutBinary stores b as a binary secret.
func (f *Fake) PutBinary(name string, b []byte) (arn string) {
	return f.put(Account, Region, secret{Name: name, SecretBinary: b})
}

// ARN returns the ARN of a secret in the account and the region of an Env.
func (f *Fake) ARN(name string) string { return prefix(Account, Region) + name + suffix(name) }

// Mark changes the state of a secret that was put, by its ARN.
func (f *Fake) Mark(arn string, state State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.secrets[arn].state = state
}

func (f *Fake) put(account, region string, s secret) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.versions++
	s.VersionID = fmt.Sprintf("00000000-0000-0000-0000-%012d", f.versions)
	return f.store(account, region, s)
}

// store puts s in place of what has its name. The lock is held.
func (f *Fake) store(account, region string, s secret) string {
	s.ARN = prefix(account, region) + s.Name + suffix(s.Name)
	s.tags = map[string]string{}
	if old := f.secrets[s.ARN]; old != nil {
		s.tags, s.past, s.kmsKey = old.tags, append(old.past, old.VersionID), old.kmsKey
	}
	f.secrets[s.ARN] = &s
	return s.ARN
}

func prefix(account, region string) string {
	return fmt.Sprintf("arn:aws:secretsmanager:%s:%s:secret:", region, account)
}

// suffix makes the six characters that AWS adds to a name, and their hyphen.
func suffix(name string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	s := "00000" + strconv.FormatUint(uint64(h.Sum32()), 36)
	return "-" + s[len(s)-6:]
}

// caller is who signed a request, and for which region.
type caller struct{ account, region string }

// signer reads the signature. An access key of ASIA and an account's number is
// that of a role which AssumeRole gave.
func signer(r *http.Request) caller {
	_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	parts := strings.Split(credential, "/") // KEY/DATE/REGION/SERVICE/aws4_request
	if len(parts) < 5 {
		return caller{}
	}
	c := caller{Account, parts[2]}
	if account, ok := strings.CutPrefix(parts[0], "ASIA"); ok {
		c.account = account
	}
	return c
}

// find returns the secret that id means: a name, an ARN, or an ARN without suffix.
func (f *Fake) find(c caller, id string) *secret {
	if !strings.HasPrefix(id, "arn:") {
		id = prefix(c.account, c.region) + id
	}
	if s := f.secrets[id]; s != nil {
		return s
	}
	i := strings.LastIndex(id, ":secret:")
	if i < 0 {
		return nil
	}
	return f.secrets[id+suffix(id[i+len(":secret:"):])]
}

// read returns a secret or the error that the service would answer with.
func (f *Fake) read(c caller, id string) (*secret, *itemError) {
	f.meter.ids[id]++
	s := f.find(c, id)
	fail := func(code, message string) (*secret, *itemError) { return nil, &itemError{id, code, message} }
	switch {
	case s == nil:
		return fail("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	case s.state == Denied:
		return fail("AccessDeniedException", denial("GetSecretValue", id))
	case s.state == KMSDenied:
		return fail("AccessDeniedException", "Access to KMS is not allowed")
	case s.state == Undecryptable:
		return fail("DecryptionFailure", "Secrets Manager can't decrypt the protected secret text using the provided KMS key.")
	case s.state == Deleted || !s.deleted.IsZero():
		return fail("InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion.")
	case s.state == NoValue:
		return fail("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT")
	}
	return s, nil
}

func denial(action, id string) string {
	return fmt.Sprintf("User: arn:aws:iam::%s:user/tester is not authorized to perform: secretsmanager:%s on resource: %s because no identity-based policy allows the secretsmanager:%s action",
		Account, action, id, action)
}

// message is an answer that is not sent yet.
type message struct {
	status int
	body   []byte
}

func ok(v any) message {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return message{http.StatusOK, b}
}

func wrong(code, text string) message {
	b, _ := json.Marshal(map[string]string{"__type": code, "Message": text})
	return message{http.StatusBadRequest, b}
}

func (f *Fake) secretsManager(action string, c caller, body []byte) message {
	switch action {
	case "GetSecretValue":
		return f.get(c, body)
	case "BatchGetSecretValue":
		return f.batch(c, body)
	case "ListSecrets", "CreateSecret", "DescribeSecret", "PutSecretValue", "TagResource", "DeleteSecret":
		return f.write(action, c, body)
	}
	return wrong("UnknownOperationException", "")
}

func (f *Fake) get(c caller, body []byte) message {
	var in struct {
		SecretID string `json:"SecretId"`
	}
	if json.Unmarshal(body, &in) != nil || in.SecretID == "" {
		return wrong("InvalidParameterException", "The request has no SecretId.")
	}
	s, fail := f.read(c, in.SecretID)
	if fail != nil {
		return wrong(fail.ErrorCode, fail.Message)
	}
	return ok(s)
}

func (f *Fake) batch(c caller, body []byte) message {
	var in struct {
		SecretIDList []string `json:"SecretIdList"`
		NextToken    string
	}
	switch err := json.Unmarshal(body, &in); {
	case err != nil || len(in.SecretIDList) == 0:
		return wrong("InvalidParameterException", "Either SecretIdList or Filters must be provided.")
	case len(in.SecretIDList) > 20:
		return wrong("ValidationException", "1 validation error detected: Value at 'secretIdList' failed to satisfy constraint: Member must have length less than or equal to 20")
	}
	var out struct {
		SecretValues []*secret
		Errors       []*itemError
		NextToken    string `json:",omitempty"`
	}
	ids, at := in.SecretIDList, 0
	if size := f.faults.PageSize; size > 0 {
		at, _ = strconv.Atoi(in.NextToken)
		end := min(at+size, len(ids))
		if end < len(ids) {
			out.NextToken = strconv.Itoa(end)
		}
		ids = ids[min(at, end):end]
	}
	if f.faults.RepeatToken {
		out.NextToken = "again"
	}
	for _, id := range ids {
		if slices.Contains(f.faults.LeaveOut, id) {
			f.meter.ids[id]++
			continue
		}
		s, fail := f.read(c, id)
		switch {
		case fail != nil:
			out.Errors = append(out.Errors, fail)
		case !slices.Contains(out.SecretValues, s): // a secret asked for twice is answered once
			out.SecretValues = append(out.SecretValues, s)
		}
	}
	return ok(out)
}
