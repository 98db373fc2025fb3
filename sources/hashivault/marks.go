package hashivault

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"bifrost-secrets/sources"
)

// The custom metadata that says whose a secret is. Everybody who may read the
// metadata sees it.
const (
	toolKey  = "managed-by"
	tool     = "bifrost-secrets"
	ownerKey = "bifrost-secrets/owner"
	// A path longer than a value may be goes on in path.2, path.3 and so on.
	pathKey = "bifrost-secrets/path"
	// Who is about to make a secret says so here, since its value and its mark
	// cannot be stored in one request.
	makingKey = "bifrost-secrets/making"
)

const (
	maxText   = 512 // bytes of a value of the metadata
	pathParts = 8   // of the 64 keys that a secret may have
)

const ownerHint = "say whose secret it is: --gateway NAME"

// markData gives the metadata for a mark. A nil takes a key away.
func markData(m sources.Mark) (map[string]any, *sources.Error) {
	owner, path := escape(m.Owner), escape(m.Path)
	switch {
	case owner == "":
		return nil, &sources.Error{Kind: sources.Refused, Message: "no gateway is named", Hint: ownerHint}
	case len(owner) > maxText:
		return nil, &sources.Error{Kind: sources.Refused, Message: "the name of the gateway is too long for the metadata", Hint: fmt.Sprintf("use at most %d printable characters of ASCII", maxText)}
	case len(path) > pathParts*maxText:
		return nil, &sources.Error{Kind: sources.Refused, Message: "the JSON path of the field is too long for the metadata", Hint: "store the value by hand, and write a reference to it"}
	}
	data := map[string]any{toolKey: tool, ownerKey: owner, makingKey: nil}
	for n := range pathParts {
		part := path[:min(len(path), maxText)]
		path = path[len(part):]
		if data[pathPart(n)] = part; part == "" {
			data[pathPart(n)] = nil // no value may be empty
		}
	}
	return data, nil
}

func pathPart(n int) string {
	if n == 0 {
		return pathKey
	}
	return pathKey + "." + strconv.Itoa(n+1)
}

// markOf reads the metadata of a secret; nil means that it is not ours.
func markOf(custom map[string]string) *sources.Mark {
	owner := unescape(custom[ownerKey])
	if custom[toolKey] != tool || owner == "" {
		return nil
	}
	path := ""
	for n := range pathParts {
		path += custom[pathPart(n)]
	}
	return &sources.Mark{Owner: owner, Path: unescape(path)}
}

// escape writes what is not printable ASCII, and the equals sign, as =XX.
func escape(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c >= ' ' && c <= '~' && c != '=' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

// unescape undoes escape. What is no escape stays as it is.
func unescape(text string) string {
	var b strings.Builder
	for text != "" {
		before, after, found := strings.Cut(text, "=")
		b.WriteString(before)
		if !found {
			break
		}
		if len(after) >= 2 {
			if c, err := strconv.ParseUint(after[:2], 16, 8); err == nil {
				b.WriteByte(byte(c))
				text = after[2:]
				continue
			}
		}
		b.WriteByte('=')
		text = after
	}
	return b.String()
}

// described is what Vault tells of a secret beside its value.
type described struct {
	known   bool // there is an entry, perhaps without any version
	current int  // the newest version; 0 where there is none
	deleted time.Time
	live    []int // the versions that are neither deleted nor destroyed
	mark    *sources.Mark
	making  string // who is about to make it
}

func (d *described) item(name string) sources.Item {
	item := sources.Item{Name: name, Exists: d.current > 0, Mark: d.mark, Gone: d.deleted}
	if item.Exists {
		item.Version = strconv.Itoa(d.current)
	} else {
		item.Mark = nil
	}
	return item
}

// describe looks at one secret. One that does not exist is no error.
func (o *operation) describe(name string) (*described, *sources.Error) {
	var got *api.Secret
	fault := o.doing(looking).call("metadata", name, func(ctx context.Context, c *api.Client, path string) (err error) {
		got, err = c.Logical().ReadWithContext(ctx, path)
		return err
	})
	if fault != nil || got == nil {
		return &described{}, fault
	}
	if _, versions := got.Data["versions"].(map[string]any); !versions || number(got.Data["current_version"]) == 0 && got.Data["current_version"] != json.Number("0") {
		fault := o.unreachable("an answer without the metadata of a secret; is "+o.mount+" a mount of the type kv, version 2?", nil)
		fault.Name = name
		return nil, fault
	}
	return parse(got.Data, time.Now()), nil
}

func parse(data map[string]any, now time.Time) *described {
	custom := map[string]string{}
	texts, _ := data["custom_metadata"].(map[string]any)
	for key, value := range texts {
		custom[key], _ = value.(string)
	}
	d := &described{known: true, current: number(data["current_version"]), mark: markOf(custom), making: unescape(custom[makingKey])}
	versions, _ := data["versions"].(map[string]any)
	for key, value := range versions {
		n, err := strconv.Atoi(key)
		about, _ := value.(map[string]any)
		if err != nil {
			continue
		}
		text, _ := about["deletion_time"].(string)
		at, err := time.Parse(time.RFC3339Nano, text)
		gone, destroyed := err == nil && at.Before(now), about["destroyed"] == true // a deletion may lie ahead: delete_version_after
		if !gone && !destroyed {
			d.live = append(d.live, n)
		}
		if n != d.current {
			continue
		}
		if gone && !destroyed {
			d.deleted = at
		}
	}
	return d
}

func number(value any) int {
	text, _ := value.(json.Number)
	n, _ := strconv.Atoi(text.String())
	return n
}
