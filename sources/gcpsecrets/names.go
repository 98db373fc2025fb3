package gcpsecrets

import (
	"fmt"
	"strconv"
	"strings"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/perkey"
)

// Names is how names become ids of GCP, and back.
var Names = sources.GCP.Names.Escapes

const latest = "latest"

func (s *source) parse(text string) (perkey.Name, *sources.Error) {
	if m := sources.GCP.Names.Parse(text); m != nil {
		return perkey.Name{Text: text, Project: m[1], ID: m[2], Version: m[3]}, nil
	}
	if sources.GCP.Names.IsFull(text) {
		e := &sources.Error{
			Kind: sources.BadName, Name: text, Message: "the name begins as a resource of gcp does, and is not that of a secret",
			Hint: "it looks like projects/PROJECT/secrets/ID or projects/PROJECT/secrets/ID/versions/VERSION",
		}
		if strings.Contains(text, "/locations/") {
			e.Hint = "secrets of one region alone are not supported: " + e.Hint
		}
		return perkey.Name{}, e
	}
	id, err := Names.ID(text)
	return perkey.Name{Text: text, Project: s.project, ID: id}, err
}

// resource is the secret as the API names it.
func resource(n perkey.Name) string { return "projects/" + n.Project + "/secrets/" + n.ID }

// versioned is the version that is read.
func versioned(n perkey.Name) string {
	if n.Version == "" {
		n.Version = latest
	}
	return resource(n) + "/versions/" + n.Version
}

// owns reports whether a version, as the API names it, is one of the secret, and
// the one asked for where a number was: projects/NUMBER/secrets/ID/versions/N.
func owns(n perkey.Name, version string) bool {
	parts := strings.Split(version, "/")
	if len(parts) != 6 || parts[2] != "secrets" || parts[3] != n.ID || parts[4] != "versions" {
		return false
	}
	_, err := strconv.Atoi(n.Version)
	return err != nil || parts[5] == n.Version
}

// subject is what a message is about.
func (s *source) subject(n perkey.Name) string {
	switch {
	case n.ID == "":
		return "the list of secrets in project " + s.project
	case sources.GCP.Names.IsFull(n.Text):
		return fmt.Sprintf("secret %q", n.Text) // it names the project itself
	}
	return fmt.Sprintf("secret %q in project %s", n.Text, n.Project)
}

// Identities implements [sources.Inspector]: ids, whatever the project or the
// version is.
func (s *source) Identities(name string) []string {
	if n, err := s.parse(name); err == nil {
		return []string{n.ID}
	}
	return []string{name}
}
