package autostore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"bifrost-secrets/sources"
)

// memory is a store that a test can look into and make to fail. before is called
// ahead of every request with its name and the secret's.
type memory struct {
	mu      sync.Mutex
	items   map[string]*kept
	puts    int
	largest int
	before  func(op, name string) error
	ids     func(name string) []string // of another backend; nil for one that does not tell cases apart
}

type kept struct {
	value    string
	versions int
	mark     *sources.Mark
	gone     time.Time
	rotated  bool
}

var doomsday = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func newMemory() *memory {
	return &memory{items: map[string]*kept{}, largest: 1 << 10, before: func(string, string) error { return nil }}
}

func (m *memory) Identities(name string) []string {
	if m.ids != nil {
		return m.ids(name)
	}
	return []string{strings.ToLower(name)}
}
func (m *memory) Plan(names []string) sources.Calls  { return sources.Calls{Single: len(names)} }
func (m *memory) Ping(context.Context, string) error { return nil }
func (m *memory) Describe() string                   { return "memory" }
func (m *memory) Close() error                       { return nil }
func (m *memory) Traits() sources.Traits {
	return sources.Traits{Limits: sources.Limits{Max: m.largest}, Recoverable: true, History: true}
}
func version(k *kept) string { return strconv.Itoa(k.versions) }
func refused(format string, args ...any) error {
	return &sources.Error{Kind: sources.Refused, Message: fmt.Sprintf(format, args...)}
}

func (m *memory) Fetch(_ context.Context, names []string) map[string]sources.Result {
	out := map[string]sources.Result{}
	for _, name := range names {
		err := m.before("fetch", name)
		m.mu.Lock()
		k := m.items[name]
		switch {
		case err != nil:
			out[name] = sources.Result{Err: err}
		case k == nil || !k.gone.IsZero():
			out[name] = sources.Result{Err: &sources.Error{Kind: sources.NotFound, Name: name, Message: "no such secret"}}
		default:
			out[name] = sources.Result{Value: sources.NewSecret([]byte(k.value)), Version: version(k)}
		}
		m.mu.Unlock()
	}
	return out
}

func (m *memory) Inspect(_ context.Context, names []string) map[string]sources.Item {
	out := map[string]sources.Item{}
	for _, name := range names {
		err := m.before("inspect", name)
		m.mu.Lock()
		out[name] = m.item(name)
		m.mu.Unlock()
		if err != nil {
			out[name] = sources.Item{Name: name, Err: err}
		}
	}
	return out
}

func (m *memory) item(name string) sources.Item {
	k := m.items[name]
	if k == nil {
		return sources.Item{Name: name}
	}
	return sources.Item{Name: name, Exists: k.gone.IsZero(), Version: version(k), Mark: k.mark, Gone: k.gone, Rotated: k.rotated}
}

func (m *memory) List(_ context.Context, prefix string) ([]sources.Item, error) {
	if err := m.before("list", prefix); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []sources.Item
	for name := range m.items {
		if strings.HasPrefix(name, prefix) {
			out = append(out, m.item(name))
		}
	}
	slices.SortFunc(out, func(a, b sources.Item) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (m *memory) Put(_ context.Context, w sources.Write) (string, error) {
	if err := m.before("put", w.Name); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.puts++
	k := m.items[w.Name]
	if k == nil {
		k = &kept{mark: &w.Mark}
		m.items[w.Name] = k
	}
	if version := version(k); k.versions > 0 && version != w.Expect || k.versions == 0 && w.Expect != "" {
		return "", &sources.Error{Kind: sources.Conflict, Name: w.Name, Message: "somebody else wrote it meanwhile", Hint: "run again"}
	}
	k.value = string(w.Value.Reveal())
	k.versions++
	return version(k), nil
}

func (m *memory) Delete(_ context.Context, name, owner string, o sources.DeleteOptions) error {
	if err := m.before("delete", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch k := m.items[name]; {
	case k == nil:
	case k.mark == nil || k.mark.Owner != owner:
		return refused("not ours")
	case o.Now:
		delete(m.items, name)
	default:
		k.gone = doomsday
	}
	return nil
}
