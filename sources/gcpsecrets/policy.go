package gcpsecrets

import (
	"fmt"
	"slices"
	"strings"
)

const policyHead = `# who runs bifrost-secrets
MEMBER='serviceAccount:NAME@PROJECT.iam.gserviceaccount.com'
`

// Policy returns the least permissions that let names be read, as gcloud commands
// for people to run: access to exactly these secrets. GCP has no batches.
func (s *source) Policy(names []string) []byte {
	return []byte(policyHead + s.readBindings(names))
}

func (s *source) readBindings(names []string) string {
	var lines []string
	for _, name := range names {
		if n, err := s.parse(name); err == nil {
			lines = append(lines, fmt.Sprintf("gcloud secrets add-iam-policy-binding %s --project=%s --member=\"$MEMBER\" --role=roles/secretmanager.secretAccessor\n", n.ID, n.Project))
		}
	}
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), "")
}

// WritePolicy returns the least permissions that let names be read and secrets
// whose name begins with prefix be stored, looked at and deleted. Creating and
// listing are granted on a project or not at all.
func (s *source) WritePolicy(names []string, prefix string) []byte {
	under := Names.Prefix(strings.TrimSuffix(prefix, "/") + "/")
	var b strings.Builder
	b.WriteString(policyHead + s.readBindings(names))
	fmt.Fprintf(&b, `
# make and list secrets
gcloud iam roles create bifrostSecretsMake --project=%[1]s --permissions=secretmanager.secrets.create,secretmanager.secrets.list
gcloud projects add-iam-policy-binding %[1]s --member="$MEMBER" --role=projects/%[1]s/roles/bifrostSecretsMake --condition=None

# read, change and delete those whose name begins with %[2]s
NUMBER=$(gcloud projects describe %[1]s --format='value(projectNumber)')
gcloud iam roles create bifrostSecretsKeep --project=%[1]s --permissions=%[3]s
gcloud projects add-iam-policy-binding %[1]s --member="$MEMBER" --role=projects/%[1]s/roles/bifrostSecretsKeep \
  --condition="title=bifrost-secrets,expression=resource.name.startsWith(\"projects/$NUMBER/secrets/%[2]s\")"
`, s.project, under, strings.Join(keepPermissions, ","))
	return []byte(b.String())
}

var keepPermissions = []string{
	"secretmanager.secrets.get", "secretmanager.secrets.update", "secretmanager.secrets.delete",
	"secretmanager.versions.get", "secretmanager.versions.access", "secretmanager.versions.add",
}
