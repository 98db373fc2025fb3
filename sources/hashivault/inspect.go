package hashivault

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/perkey"
)

// lookers reads the metadata of each name. Version 1 of the engine has none: there
// it lists the folder of each name.
func (s *source) lookers(o *operation, _ []perkey.Name) perkey.Looker {
	if s.engine.Load().version == 1 {
		return func(n perkey.Name) (sources.Item, *sources.Error) {
			folder, last := split(n.ID)
			entries, fault := s.entries(o, folder)
			return sources.Item{Exists: slices.Contains(entries, last)}, fault
		}
	}
	return func(n perkey.Name) (sources.Item, *sources.Error) {
		d, fault := s.describe(o, n)
		return d.item(), fault
	}
}

// split cuts a name, or the beginning of one, behind its last slash.
func split(name string) (folder, last string) {
	i := strings.LastIndexByte(name, '/') + 1
	return name[:i], name[i:]
}

// list walks the folders below prefix, and reads the metadata of every secret
// there. An entry without any version is no secret.
func (s *source) list(o *operation, prefix string) ([]perkey.Name, perkey.Looker, *sources.Error) {
	folder, _ := split(prefix)
	if folder != "" && sources.CheckPath(strings.TrimSuffix(folder, "/")) != "" {
		return nil, nil, &sources.Error{
			Kind: sources.BadName, Name: prefix, Hint: nameHint,
			Message: fmt.Sprintf("no name of a secret in vault begins with %q", sources.Shorten(prefix)),
		}
	}
	look := s.lookers(o, nil)
	if s.engine.Load().version == 1 {
		look = func(perkey.Name) (sources.Item, *sources.Error) { return sources.Item{Exists: true}, nil }
	}
	names, fault := s.walk(o, folder, prefix)
	return names, look, fault
}

// walk returns the names below a folder that begin with prefix, level by level.
func (s *source) walk(o *operation, folder, prefix string) (names []perkey.Name, failed *sources.Error) {
	var mu sync.Mutex
	for level := []string{folder}; len(level) > 0 && failed == nil; {
		var below []string
		perkey.Each(level, func(folder string) {
			entries, fault := s.entries(o, folder)
			mu.Lock()
			defer mu.Unlock()
			if fault != nil {
				failed = fault
			}
			for _, entry := range entries {
				name := folder + entry
				switch {
				case !strings.HasPrefix(name, prefix):
				case !strings.HasSuffix(name, "/"):
					names = append(names, perkey.Name{Text: name, ID: name})
				case sources.CheckPath(strings.TrimSuffix(name, "/")) == "":
					below = append(below, name)
				}
			}
		})
		level = below
	}
	return names, failed
}

// entries returns those of one folder, and of them folders with a slash at the end.
func (s *source) entries(o *operation, folder string) (entries []string, fault *sources.Error) {
	n := perkey.Name{ID: strings.TrimSuffix(folder, "/")}
	got, fault := s.call(o, listing, n, (*api.Logical).ListWithContext)
	if fault != nil || got == nil {
		return nil, fault
	}
	all, ok := got.Data["keys"].([]any)
	for _, one := range all {
		entry, text := one.(string)
		ok = ok && text
		entries = append(entries, entry)
	}
	if !ok {
		return nil, s.unreachable("an answer without a list", nil)
	}
	slices.Sort(entries)
	return slices.Compact(entries), nil
}

// described is what Vault tells of a secret beside its value.
type described struct {
	known   bool // there is an entry, perhaps without any version
	current int  // the newest version; 0 where there is none
	deleted time.Time
	live    []int // the versions that are neither deleted nor destroyed
	mark    *sources.Mark
	making  string // who is about to make it, escaped
}

func (d *described) item() sources.Item {
	if d.current == 0 {
		return sources.Item{}
	}
	return sources.Item{Exists: true, Version: strconv.Itoa(d.current), Mark: d.mark, Gone: d.deleted}
}

// describe looks at one secret. One that does not exist is no error.
func (s *source) describe(o *operation, n perkey.Name) (*described, *sources.Error) {
	got, fault := s.call(o, looking, n, (*api.Logical).ReadWithContext)
	if fault != nil || got == nil {
		return &described{}, fault
	}
	if _, versions := got.Data["versions"].(map[string]any); !versions || number(got.Data["current_version"]) == 0 && got.Data["current_version"] != json.Number("0") {
		return &described{}, s.unreachable("an answer without the metadata of a secret; is "+s.mount+" a mount of the type kv, version 2?", nil)
	}
	return describedBy(got.Data, time.Now()), nil
}

func describedBy(data map[string]any, now time.Time) *described {
	custom := map[string]string{}
	texts, _ := data["custom_metadata"].(map[string]any)
	for key, value := range texts {
		custom[key], _ = value.(string)
	}
	d := &described{known: true, current: number(data["current_version"]), mark: marks.Mark(custom), making: custom[makingKey]}
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
		if n == d.current && gone && !destroyed {
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
