package azurevault

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"bifrost-secrets/sources"
)

// The tags that say whose a secret is. Everybody who may list secrets sees them.
// Azure keeps tags with each version; where a person has set a value without
// them, those of the version before count.
const (
	toolTag  = "managed-by"
	tool     = "bifrost-secrets"
	ownerTag = "bifrost-secrets-owner"
	// A path longer than a tag goes on in path-2, path-3 and so on.
	pathTag  = "bifrost-secrets-path"
	writeTag = "bifrost-secrets-write" // the token of the write that made the version

	maxTag   = 256 // bytes of the value of a tag
	pathTags = 8
	allTags  = 15 // that a version may have
)

const ownerHint = "say whose secret it is: --gateway NAME"

// tagsOf gives the tags for a write.
func tagsOf(w sources.Write) (map[string]*string, *sources.Error) {
	refused := func(message, hint string) (map[string]*string, *sources.Error) {
		return nil, &sources.Error{Kind: sources.Refused, Name: w.Name, Message: message, Hint: hint}
	}
	switch {
	case w.Mark.Owner == "":
		return refused("no gateway is named", ownerHint)
	case !utf8.ValidString(w.Mark.Owner + w.Mark.Path):
		return refused("the name of the gateway or the JSON path is not utf-8 text", ownerHint)
	case len(w.Mark.Owner) > maxTag:
		return refused("the name of the gateway is too long for a tag", fmt.Sprintf("use at most %d bytes", maxTag))
	}
	parts := split(w.Mark.Path)
	if len(parts) > pathTags {
		return refused("the JSON path of the field is too long for tags", "store the value by hand, and write a reference to it")
	}
	token, toolName, owner := w.Token, tool, w.Mark.Owner
	tags := map[string]*string{toolTag: &toolName, ownerTag: &owner, writeTag: &token}
	for n, part := range parts {
		tags[pathKey(n)] = &part
	}
	return tags, nil
}

func pathKey(n int) string {
	if n == 0 {
		return pathTag
	}
	return pathTag + "-" + strconv.Itoa(n+1)
}

// split cuts text into parts that fit a tag, between characters.
func split(text string) []string {
	var parts []string
	for len(text) > maxTag {
		end := maxTag
		for !utf8.RuneStart(text[end]) {
			end--
		}
		parts = append(parts, text[:end])
		text = text[end:]
	}
	return append(parts, text)
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// markOf reads the tags of a version; nil means that they are not ours.
func markOf(tags map[string]*string) *sources.Mark {
	owner := text(tags[ownerTag])
	if text(tags[toolTag]) != tool || owner == "" {
		return nil
	}
	path := ""
	for n := range pathTags {
		path += text(tags[pathKey(n)])
	}
	return &sources.Mark{Owner: owner, Path: path}
}

// version is what is known of one version beside its value.
type version struct {
	id      string
	tags    map[string]*string
	created time.Time
	enabled bool
}

// described is what the vault tells of a secret beside its value.
type described struct {
	exists   bool // deleted ones do
	versions map[string]*version
	current  *version // nil where it is deleted
	mark     *sources.Mark
	managed  bool      // the vault renews it: it is of a certificate
	gone     time.Time // when a deleted one is purged
	keeps    bool      // the vault does not let it be purged
}

func (d *described) item(name string) sources.Item {
	item := sources.Item{Name: name, Exists: d.exists, Mark: d.mark, Gone: d.gone, Rotated: d.managed}
	if d.current != nil {
		item.Version = d.current.id
	}
	return item
}

// newest gives the versions that may be the current one: times have whole
// seconds, so there may be several.
func (d *described) newest() (all []*version) {
	for _, v := range d.versions {
		switch {
		case len(all) == 0 || v.created.After(all[0].created):
			all = []*version{v}
		case v.created.Equal(all[0].created):
			all = append(all, v)
		}
	}
	return all
}

// findMark takes the mark of the current version, or, where it has no word of a
// tool, of the newest before it that has one.
func (d *described) findMark() {
	all := make([]*version, 0, len(d.versions))
	for _, v := range d.versions {
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b *version) int {
		if a == d.current || b == d.current {
			return map[bool]int{true: -1, false: 1}[a == d.current]
		}
		return b.created.Compare(a.created)
	})
	for _, v := range all {
		if text(v.tags[toolTag]) != "" {
			d.mark = markOf(v.tags)
			return
		}
	}
}

// kept gives the tags that the current version has beside ours.
func (d *described) kept() map[string]*string {
	kept := map[string]*string{}
	if d.current == nil {
		return kept
	}
	for key, value := range d.current.tags {
		if key != toolTag && !strings.HasPrefix(key, tool+"-") {
			kept[key] = value
		}
	}
	return kept
}

func isTrue(b *bool) bool { return b != nil && *b }

func protected(a *azsecrets.SecretAttributes) bool {
	return a != nil && a.RecoveryLevel != nil && !strings.Contains(*a.RecoveryLevel, "Purgeable")
}

func (a *act) refusal(i id, what, hint string) error {
	return &sources.Error{Kind: sources.Refused, Name: i.text, Message: a.subject(i) + " " + what, Hint: hint}
}

func (a *act) conflict(i id, what string) error {
	return &sources.Error{
		Kind: sources.Conflict, Name: i.text, Message: a.subject(i) + " " + what,
		Hint: "somebody else writes there too: run again, which begins with what is there now",
	}
}

func (a *act) foreign(i id, owner string) error {
	if owner != "" {
		return a.refusal(i, fmt.Sprintf("belongs to the gateway %q", owner), "give --gateway as that gateway does, or store under another prefix")
	}
	return a.refusal(i, "was not stored by bifrost-secrets", "store under another prefix, or delete it by hand if nobody needs it")
}
