package awssecrets

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/perkey"
)

var suffixForm = perkey.Pattern(`-[A-Za-z0-9]{6}$`)

const nameHint = "a name has 1 to 512 of the characters A-Za-z0-9/_+=.@-, and ! where a service of aws has made it"

// id is what a reference calls a secret: a name or an ARN, which may lack the
// random suffix that AWS adds.
type id struct {
	text    string // as the reference spells it
	name    string // the part after `:secret:` of an ARN; else text
	prefix  string // the part up to and with `:secret:`; empty where text is a name
	region  string // of the ARN
	account string // of the ARN
}

func parseID(text string) (id, *sources.Error) {
	if m := sources.AWS.Names.Parse(text); m != nil {
		return id{text: text, prefix: m[1], region: m[2], account: m[3], name: cmp.Or(m[4], text)}, nil
	}
	e := sources.NewError(sources.BadName, fmt.Sprintf("%q cannot be the name of a secret in aws", sources.Shorten(text)), nameHint).Of(text)
	if strings.HasPrefix(text, "arn:") {
		e.Message = fmt.Sprintf("%q is not the arn of a secret in aws", sources.Shorten(text))
		e.Hint = "it looks like arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME"
	}
	return id{}, e
}

func parse(text string) (perkey.Name, *sources.Error) {
	i, bad := parseID(text)
	return i.key(), bad
}

// possible returns those of names that a secret can have, and passes the others to
// bad, which may be nil.
func possible(names []string, bad func(name string, err *sources.Error)) (all []perkey.Name) {
	for _, name := range names {
		n, err := parse(name)
		if err == nil {
			all = append(all, n)
		} else if bad != nil {
			bad(name, err)
		}
	}
	return all
}

// key returns it as the frame of all backends has it.
func (i id) key() perkey.Name { return perkey.Name{Text: i.text, Project: i.region, ID: i.text} }

// idOf returns a name that was parsed before.
func idOf(n perkey.Name) id {
	i, _ := parseID(n.Text)
	return i
}

// unwritable refuses what can be read and is not ours to make or to change.
func (i id) unwritable() *sources.Error {
	if !strings.Contains(i.name, "!") {
		return nil
	}
	return sources.NewError(sources.BadName, fmt.Sprintf("%q can be read and not written: a name with ! is that of a service of aws", sources.Shorten(i.text)),
		"a name has 1 to 512 of the characters A-Za-z0-9/_+=.@-").Of(i.text)
}

func (i id) isARN() bool { return i.prefix != "" }

// is reports whether a secret with this ARN and name may be the one meant.
func (i id) is(arn, name string) bool {
	if !i.isARN() {
		return name == i.text
	}
	// The name settles whether the end of the ARN asked for is a random suffix
	// or a part of the name; its form could not.
	return arn == i.text || name == i.name && strings.HasPrefix(arn, i.prefix)
}

// resource is the ARN to allow in a policy: with wildcards for what is not known.
func (i id) resource(region, account string) string {
	switch {
	case i.isARN() && suffixForm().MatchString(i.name):
		return i.text
	case i.isARN():
		return i.text + "-??????"
	case account == "":
		account = "*"
	}
	return fmt.Sprintf("arn:%s:secretsmanager:%s:%s:secret:%s-??????", partition(region), region, account, i.name)
}

func partition(region string) string {
	for prefix, name := range map[string]string{"cn-": "aws-cn", "us-gov-": "aws-us-gov"} {
		if strings.HasPrefix(region, prefix) {
			return name
		}
	}
	if strings.Contains(region, "-iso") || strings.HasPrefix(region, "eusc-") {
		return "*" // there are several, and they are not worth a table
	}
	return "aws"
}

// accountOf returns the account of an ARN, and "" for anything else.
func accountOf(arn string) string {
	i, _ := parseID(arn)
	return i.account
}

// idGroup is the secrets of one region.
type idGroup struct {
	region string // empty where nothing has the region of plain names
	ids    []id
}

// group sorts names by their regions; region is that of plain ones. The order of
// names is kept within a group.
func group(names []perkey.Name, region string) []idGroup {
	byRegion := make(map[string][]id)
	for _, n := range names {
		r := cmp.Or(n.Project, region)
		byRegion[r] = append(byRegion[r], idOf(n))
	}
	var groups []idGroup
	for _, r := range slices.Sorted(maps.Keys(byRegion)) {
		groups = append(groups, idGroup{r, byRegion[r]})
	}
	return groups
}

// Identities implements [sources.Inspector]. Regions and accounts do not count:
// what would be taken for in use there without cause is kept, and not lost.
func (*source) Identities(name string) []string {
	i, err := parseID(name)
	if err != nil || !i.isARN() {
		return []string{name}
	}
	if short := suffixForm().ReplaceAllString(i.name, ""); short != i.name {
		return []string{short, i.name}
	}
	return []string{i.name}
}
