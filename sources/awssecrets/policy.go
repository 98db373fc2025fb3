package awssecrets

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"bifrost-secrets/sources"
)

// statement is one statement of an IAM policy.
type statement struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string]string `json:",omitempty"`
}

// Policy returns the least IAM policy that lets names be read, as JSON for people
// to paste: GetSecretValue on exactly these secrets, and the batch action, which
// AWS grants for all resources or none and which may be left out. What is not known (the
// account, perhaps the region) is a wildcard. Secrets that are encrypted with a
// key of one's own need kms:Decrypt on that key as well; which those are, only
// AWS knows.
func (s *source) Policy(names []string) []byte {
	return policy(s.readStatements(names))
}

// WritePolicy returns the least IAM policy that lets names be read and secrets
// whose name begins with prefix be stored, looked at and deleted. Where the
// settings have a kms_key_id, it may be used for them. Listing is granted for
// all resources or none.
func (s *source) WritePolicy(names []string, prefix string) []byte {
	statements := s.readStatements(names)
	under := s.resourceUnder(prefix, cmp.Or(s.plannedRegion(names), "*"))
	statements = append(statements,
		statement{Sid: "StoreSecrets", Effect: "Allow", Resource: []string{under}, Action: []string{
			"secretsmanager:CreateSecret", "secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue",
			"secretsmanager:PutSecretValue", "secretsmanager:TagResource",
		}},
		statement{Sid: "DeleteWhatWasStored", Effect: "Allow", Action: []string{"secretsmanager:DeleteSecret"}, Resource: []string{under},
			Condition: map[string]map[string]string{"StringEquals": {"secretsmanager:ResourceTag/" + sources.ToolKey: sources.Tool}}},
		statement{Sid: "ListSecrets", Effect: "Allow", Action: []string{"secretsmanager:ListSecrets"}, Resource: []string{"*"}},
	)
	if s.kmsKeyID != "" {
		statements = append(statements, s.keyStatement())
	}
	return policy(statements)
}

func (s *source) readStatements(names []string) []statement {
	region := cmp.Or(s.plannedRegion(names), "*")
	var resources []string
	for _, name := range names {
		if i, err := parseID(name); err == nil {
			resources = append(resources, i.resource(region, s.account))
		}
	}
	slices.Sort(resources)
	if len(resources) == 0 {
		return nil
	}
	return []statement{
		{Sid: "ReadSecrets", Effect: "Allow", Action: []string{"secretsmanager:GetSecretValue"}, Resource: slices.Compact(resources)},
		{Sid: "ReadThemInBatches", Effect: "Allow", Action: []string{"secretsmanager:BatchGetSecretValue"}, Resource: []string{"*"}},
	}
}

// resourceUnder returns the resource of every secret below a prefix.
func (s *source) resourceUnder(prefix, region string) string {
	return strings.TrimSuffix(id{name: strings.TrimSuffix(prefix, "/") + "/*"}.resource(region, s.account), "-??????")
}

// keyStatement allows the key of the settings, which may be the ARN, the id or
// an alias of one.
func (s *source) keyStatement() statement {
	out := statement{Sid: "UseTheKey", Effect: "Allow", Action: []string{"kms:Decrypt", "kms:GenerateDataKey"}}
	region, account := cmp.Or(s.knownRegion(), "*"), cmp.Or(s.account, "*")
	_, alias, isAlias := strings.Cut(s.kmsKeyID, "alias/")
	key := "arn:" + partition(region) + ":kms:" + region + ":" + account + ":key/"
	switch {
	case isAlias:
		// An alias is no resource: AWS looks at the key behind it.
		out.Resource = []string{key + "*"}
		out.Condition = map[string]map[string]string{"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/" + alias}}
	case strings.HasPrefix(s.kmsKeyID, "arn:"):
		out.Resource = []string{s.kmsKeyID}
	default:
		out.Resource = []string{key + s.kmsKeyID}
	}
	return out
}

func policy(statements []statement) []byte {
	out, err := json.MarshalIndent(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", statements}, "", "  ")
	if err != nil {
		panic(err) // strings always marshal
	}
	return append(out, '\n')
}
