package awstest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tag is one tag of a secret, in the form of the protocol.
type tag struct{ Key, Value string }

// request has the members of every request that is not for values.
type request struct {
	SecretID           string `json:"SecretId"`
	Name               string
	SecretString       *string
	ClientRequestToken string
	KmsKeyID           string `json:"KmsKeyId"`
	Tags               []tag

	RecoveryWindowInDays       *int
	ForceDeleteWithoutRecovery bool

	IncludePlannedDeletion bool
	MaxResults             int
	NextToken              string
	Filters                []struct {
		Key    string
		Values []string
	}
}

// Versions returns the number of versions that a secret of the account and the
// region of an Env has had.
func (f *Fake) Versions(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.secrets[f.ARN(name)]; s != nil {
		return len(s.past) + 1
	}
	return 0
}

// Metadata returns all that is kept of every secret beside its values.
func (f *Fake) Metadata() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for _, s := range f.secrets {
		all = append(all, string(ok(s.describe("")).body))
	}
	return strings.Join(all, "\n")
}

// KMSKey returns the key that a secret was created with.
func (f *Fake) KMSKey(name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.secrets[f.ARN(name)].kmsKey
}

// sizeFault is right where moto is wrong: a value has 1 to 65,536 bytes.
func sizeFault(in request) (message, bool) {
	if in.SecretString != nil && (len(*in.SecretString) > 65_536 || *in.SecretString == "") {
		return wrong("InvalidParameterException", "The secret value has a length that is not allowed."), true
	}
	return message{}, false
}

// write answers what is no request for values.
func (f *Fake) write(action string, c caller, body []byte) message {
	var in request
	if err := json.Unmarshal(body, &in); err != nil {
		return wrong("InvalidParameterException", "The request cannot be read.")
	}
	if action == "ListSecrets" {
		return f.list(c, in)
	}
	id := in.SecretID
	if action == "CreateSecret" {
		id = in.Name
	}
	f.meter.ids[id]++
	if slices.Contains(f.faults.DenyActions, action) {
		return wrong("AccessDeniedException", denial(action, id))
	}
	s := f.find(c, id)
	if s == nil && action != "CreateSecret" {
		return wrong("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	}
	deleted := s != nil && (s.state == Deleted || !s.deleted.IsZero())
	switch action {
	case "CreateSecret":
		return f.create(c, s, in)
	case "DescribeSecret":
		return ok(s.describe("VersionIdsToStages"))
	case "DeleteSecret":
		return f.remove(s, in, deleted)
	}
	if deleted {
		return wrong("InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion.")
	}
	if action == "TagResource" {
		for _, t := range in.Tags {
			s.tags[t.Key] = t.Value
		}
		return ok(struct{}{})
	}
	if fail, bad := sizeFault(in); bad {
		return fail
	}
	return f.putValue(s, in)
}

func (f *Fake) create(c caller, s *secret, in request) message {
	same := s != nil && s.VersionID == in.ClientRequestToken && s.SecretString != nil && *s.SecretString == *in.SecretString
	switch {
	case s != nil && (s.state == Deleted || !s.deleted.IsZero()):
		return wrong("InvalidRequestException", "You can't create this secret because a secret with this name is already scheduled for deletion.")
	case s != nil && !same:
		return wrong("ResourceExistsException", "The operation failed because the secret "+in.Name+" already exists.")
	case s == nil:
		if fail, bad := sizeFault(in); bad {
			return fail
		}
		arn := f.store(c.account, c.region, secret{Name: in.Name, SecretString: in.SecretString, VersionID: in.ClientRequestToken})
		s = f.secrets[arn]
		s.kmsKey = in.KmsKeyID
		for _, t := range in.Tags {
			s.tags[t.Key] = t.Value
		}
	}
	return ok(map[string]string{"ARN": s.ARN, "Name": s.Name, "VersionId": s.VersionID})
}

func (f *Fake) putValue(s *secret, in request) message {
	if s.VersionID == in.ClientRequestToken && s.SecretString != nil && *s.SecretString != *in.SecretString || slices.Contains(s.past, in.ClientRequestToken) {
		return wrong("ResourceExistsException", "You can't use ClientRequestToken because that value is already in use for a version.")
	}
	if s.VersionID != in.ClientRequestToken {
		s.past = append(s.past, s.VersionID)
		s.VersionID, s.SecretString, s.SecretBinary = in.ClientRequestToken, in.SecretString, nil
	}
	return ok(map[string]any{"ARN": s.ARN, "Name": s.Name, "VersionId": s.VersionID, "VersionStages": []string{"AWSCURRENT"}})
}

func (f *Fake) remove(s *secret, in request, deleted bool) message {
	days := 30
	if in.RecoveryWindowInDays != nil {
		days = *in.RecoveryWindowInDays
	}
	switch {
	case in.ForceDeleteWithoutRecovery:
		delete(f.secrets, s.ARN)
	case days < 7 || days > 30:
		return wrong("InvalidParameterException", "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
	case deleted:
		return wrong("InvalidRequestException", "You tried to perform the operation on a secret that's currently marked deleted.")
	default:
		s.deleted = time.Now().AddDate(0, 0, days)
	}
	return ok(map[string]any{"ARN": s.ARN, "Name": s.Name, "DeletionDate": s.deleted.Unix()})
}

// describe returns what is known of a secret beside its value; stages is what the
// action calls the versions.
func (s *secret) describe(stages string) map[string]any {
	out := map[string]any{"ARN": s.ARN, "Name": s.Name}
	versions := map[string][]string{s.VersionID: {"AWSCURRENT"}}
	if n := len(s.past); n > 0 {
		versions[s.past[n-1]] = []string{"AWSPREVIOUS"}
	}
	if s.state != NoValue {
		out[stages] = versions
	}
	var tags []tag
	for _, key := range slices.Sorted(maps.Keys(s.tags)) {
		tags = append(tags, tag{key, s.tags[key]})
	}
	out["Tags"] = tags
	if !s.deleted.IsZero() {
		out["DeletedDate"] = s.deleted.Unix()
	} else if s.state == Deleted {
		out["DeletedDate"] = time.Now().Unix()
	}
	if s.state == Rotated {
		out["RotationEnabled"] = true
	}
	return out
}

func (f *Fake) list(c caller, in request) message {
	var arns []string
	for arn, s := range f.secrets {
		wanted := strings.HasPrefix(arn, prefix(c.account, c.region)) && (s.deleted.IsZero() || in.IncludePlannedDeletion)
		for _, filter := range in.Filters {
			wanted = wanted && slices.ContainsFunc(filter.Values, func(v string) bool {
				return filter.Key == "name" && strings.HasPrefix(s.Name, v)
			})
		}
		if wanted {
			arns = append(arns, arn)
		}
	}
	slices.Sort(arns)
	out := map[string]any{}
	at, _ := strconv.Atoi(in.NextToken)
	arns = arns[min(at, len(arns)):]
	if size := min(in.MaxResults, 100); size > 0 && len(arns) > size {
		arns = arns[:size]
		out["NextToken"] = fmt.Sprint(at + size)
	}
	entries := []map[string]any{}
	for _, arn := range arns {
		entries = append(entries, f.secrets[arn].describe("SecretVersionsToStages"))
	}
	out["SecretList"] = entries
	return ok(out)
}
