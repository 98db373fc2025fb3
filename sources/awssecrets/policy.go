package awssecrets

import (
	"cmp"
	"encoding/json"
	"slices"
)

// statement is one statement of an IAM policy.
type statement struct {
	Sid      string
	Effect   string
	Action   []string
	Resource []string
}

// Policy gives the least IAM policy that lets names be read, as JSON for people
// to paste: GetSecretValue on exactly these secrets, and, with batch, the batch
// action, which AWS grants for all resources or none. What is not known (the
// account, perhaps the region) is a wildcard. Secrets that are encrypted with a
// key of one's own need kms:Decrypt on that key as well; which those are, only
// AWS knows.
func (s *source) Policy(names []string, batch bool) []byte {
	region := cmp.Or(s.plannedRegion(names), "*")
	var resources []string
	for _, name := range names {
		if i, err := parseID(name); err == nil {
			resources = append(resources, i.resource(region, s.account))
		}
	}
	slices.Sort(resources)
	statements := []statement{{"ReadSecrets", "Allow", []string{"secretsmanager:GetSecretValue"}, slices.Compact(resources)}}
	if batch {
		statements = append(statements, statement{"ReadThemInBatches", "Allow", []string{"secretsmanager:BatchGetSecretValue"}, []string{"*"}})
	}
	policy := struct {
		Version   string
		Statement []statement
	}{"2012-10-17", statements}
	out, err := json.MarshalIndent(policy, "", "  ")
	if err != nil {
		panic(err) // strings always marshal
	}
	return append(out, '\n')
}
