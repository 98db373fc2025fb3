package gcpsecrets

import (
	"regexp"
	"strconv"
	"strings"
	"sync"

	"bifrost-secrets/sources"
)

// Names is how names become ids of GCP, and back.
var Names = sources.Names{
	Allowed: func(c byte) bool { return sources.Alphanumeric(c) || c == '-' || c == '_' },
	Max:     255, System: "gcp",
}

const (
	latest = "latest"
	// fullPrefix begins the full names that other services of Google have for
	// what is in this one.
	fullPrefix = "//" + host + "/"
)

var resourceForm = lazily(`^projects/((?:[a-z0-9.-]{1,60}:)?[a-z0-9][a-z0-9-]{0,61})/secrets/([A-Za-z0-9_-]{1,255})(?:/versions/([A-Za-z0-9_-]{1,63}))?$`)

// id is what a reference calls a secret.
type id struct {
	text    string // as the reference spells it
	project string
	secret  string // its id in the project
	version string // a number or an alias; empty where the reference names none
}

func (s *source) parse(text string) (id, *sources.Error) {
	resource := strings.TrimPrefix(text, fullPrefix)
	if m := resourceForm().FindStringSubmatch(resource); m != nil {
		return id{text, m[1], m[2], m[3]}, nil
	}
	if strings.HasPrefix(resource, "projects/") || resource != text {
		e := &sources.Error{
			Kind: sources.BadName, Name: text, Message: "the name begins as a resource of gcp does, and is not that of a secret",
			Hint: "it looks like projects/PROJECT/secrets/ID or projects/PROJECT/secrets/ID/versions/VERSION",
		}
		if strings.Contains(text, "/locations/") {
			e.Hint = "secrets of one region alone are not supported: " + e.Hint
		}
		return id{}, e
	}
	secret, err := Names.ID(text)
	if err != nil {
		return id{}, err
	}
	return id{text: text, project: s.project, secret: secret}, nil
}

// resource is the secret as the API names it.
func (i id) resource() string { return "projects/" + i.project + "/secrets/" + i.secret }

// versioned is the version that is read.
func (i id) versioned() string {
	if i.version == "" {
		return i.resource() + "/versions/" + latest
	}
	return i.resource() + "/versions/" + i.version
}

// owns reports whether a version, as the API names it, is one of the secret, and
// the one asked for where a number was: projects/NUMBER/secrets/ID/versions/N.
func (i id) owns(version string) bool {
	parts := strings.Split(version, "/")
	if len(parts) != 6 || parts[2] != "secrets" || parts[3] != i.secret || parts[4] != "versions" {
		return false
	}
	_, err := strconv.Atoi(i.version)
	return err != nil || parts[5] == i.version
}

// lazily compiles a pattern when it is first used: those with {1,255} take
// their time, and a program starts more often than it uses this backend.
func lazily(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// Identities implements [sources.Inspector]: ids, whatever the project or the
// version is.
func (s *source) Identities(name string) []string {
	if i, err := s.parse(name); err == nil {
		return []string{i.secret}
	}
	return []string{name}
}
