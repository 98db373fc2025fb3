package watch

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/sources/file"
	"bifrost-secrets/walker"

	"github.com/fsnotify/fsnotify"
)

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// home is a loop over real files: a config and a directory of secrets.
type home struct {
	t         *testing.T
	dir       string
	config    string
	secrets   string
	published chan string
	refreshed chan Attempt
}

func (h *home) Refreshed(a Attempt, _ map[sources.Kind]int, _ int, _ string) { h.refreshed <- a }
func (*home) Applied(string, []Outcome)                                      {}
func (*home) Restarted()                                                     {}
func (*home) Turned(string)                                                  {}

func (h *home) load(_ context.Context, before *Job) (*Job, error) {
	doc, err := walker.ReadFile(h.config)
	if err != nil {
		return nil, err
	}
	if before != nil && string(before.Plan.Document.Bytes()) == string(doc.Bytes()) {
		return before, nil
	}
	getenv := func(string) (string, bool) { return "", false }
	plan, err := render.NewPlan(doc, &render.VaultStore{Type: "file", Enabled: true}, render.Options{Mode: render.Inline, Getenv: getenv})
	if err != nil {
		return nil, err
	}
	j := &Job{Plan: plan, Files: []string{h.config, h.secrets}}
	if before != nil {
		j.Source = before.Source
		return j, nil
	}
	j.Source, err = file.Open(h.t.Context(), sources.Settings{"path": sources.NewSecret([]byte(h.secrets))},
		sources.Options{Getenv: getenv, Warn: func(string) {}, Log: slog.New(slog.DiscardHandler)})
	return j, err
}

const (
	homeDocument = `{"providers":{"openai":{"keys":[{"name":"a","value":"vault.openai"}]}},"note":"%s"}`
	firstNote    = "first"
)

// newHome puts things in their places with arrange and begins. change may alter
// the Files.
func newHome(t *testing.T, arrange func(*home), change func(*Files)) *home {
	h := &home{t: t, dir: t.TempDir(), published: make(chan string, 100), refreshed: make(chan Attempt, 100)}
	h.config, h.secrets = filepath.Join(h.dir, "config", "config.json"), filepath.Join(h.dir, "secrets")
	arrange(h)
	var loop *Loop
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	files := NewFiles(func() { loop.FileChanged() }, log)
	if change != nil {
		change(files)
	}
	loop = New(Options{
		Load: h.load, Applier: None{}, Observer: h, Watch: files.Watch, Log: log,
		Publish: func(r *render.Rendering) (bool, bool, error) {
			h.published <- string(r.Document())
			return true, true, nil
		},
		Interval: time.Hour, Timeout: 2 * time.Minute,
	})
	if err := loop.Start(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	go func() { files.Run(ctx); done <- struct{}{} }()
	go func() { loop.Run(ctx); done <- struct{}{} }()
	t.Cleanup(func() {
		cancel()
		<-done
		<-done
	})
	h.expect("sk-1")
	h.result(Changed)
	return h
}

// expect waits for a published document that has a text in it.
func (h *home) expect(text string) {
	h.t.Helper()
	late := time.After(patience)
	for {
		select {
		case got := <-h.published:
			if strings.Contains(got, text) {
				return
			}
		case <-late:
			h.t.Fatalf("no document with %q was published", text)
		}
	}
}

// result waits for a refresh that ends so.
func (h *home) result(want string) {
	h.t.Helper()
	late := time.After(patience)
	for {
		select {
		case got := <-h.refreshed:
			if got.Result == want {
				return
			}
		case <-late:
			h.t.Fatalf("no refresh was %q", want)
		}
	}
}

func (h *home) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *home) write(path, content string) {
	h.t.Helper()
	h.ok(os.MkdirAll(filepath.Dir(path), 0o700))
	h.ok(os.WriteFile(path, []byte(content), 0o600))
}

// plain has a file of each.
func plain(h *home) {
	h.write(h.config, fmt.Sprintf(homeDocument, firstNote))
	h.write(filepath.Join(h.secrets, "openai"), "sk-1")
}

// volume makes dir a volume as Kubernetes does, or swaps its content.
func (h *home) volume(dir, name, content, generation string) {
	h.t.Helper()
	h.write(filepath.Join(dir, "..2026_"+generation, name), content)
	h.ok(os.Symlink("..2026_"+generation, filepath.Join(dir, "..data_tmp")))
	old, _ := os.Readlink(filepath.Join(dir, "..data"))
	h.ok(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	if old == "" {
		h.ok(os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
		return
	}
	h.ok(os.RemoveAll(filepath.Join(dir, old)))
}

func TestKubernetesSwap(t *testing.T) {
	t.Parallel()
	h := newHome(t, func(h *home) {
		h.volume(filepath.Dir(h.config), "config.json", fmt.Sprintf(homeDocument, firstNote), "1")
		h.volume(h.secrets, "openai", "sk-1", "1")
	}, nil)
	for i := range 3 { // each swap moves the directory that is watched
		note, key := fmt.Sprintf("note-%d", i), fmt.Sprintf("sk-1%d", i)
		h.volume(filepath.Dir(h.config), "config.json", fmt.Sprintf(homeDocument, note), fmt.Sprint(i+2))
		h.expect(note)
		h.volume(h.secrets, "openai", key, fmt.Sprint(i+2))
		h.expect(key)
	}
}

// A config that is a link to a file of a volume elsewhere.
func TestLinkIntoVolume(t *testing.T) {
	t.Parallel()
	var volume string
	h := newHome(t, func(h *home) {
		plain(h)
		h.ok(os.Remove(h.config))
		volume = filepath.Join(h.dir, "volume")
		h.volume(volume, "config.json", fmt.Sprintf(homeDocument, firstNote), "1")
		h.ok(os.Symlink(filepath.Join(volume, "config.json"), h.config))
	}, nil)
	h.volume(volume, "config.json", fmt.Sprintf(homeDocument, "swapped"), "2")
	h.expect("swapped")
}

func TestEditorRename(t *testing.T) {
	t.Parallel()
	h := newHome(t, plain, nil)
	for i := range 3 {
		note := fmt.Sprintf("note-%d", i)
		// As vim does it: the old file becomes the backup, which then goes.
		h.ok(os.Rename(h.config, h.config+"~"))
		h.write(h.config, fmt.Sprintf(homeDocument, note))
		h.ok(os.Remove(h.config + "~"))
		h.expect(note)
		// As most others do.
		h.write(h.config+".tmp", fmt.Sprintf(homeDocument, note+"-again"))
		h.ok(os.Rename(h.config+".tmp", h.config))
		h.expect(note + "-again")
	}
}

func TestDeletedAndRecreated(t *testing.T) {
	t.Parallel()
	h := newHome(t, plain, nil)
	h.ok(os.Remove(h.config))
	h.result(PartlyFailed)
	// What is in force stays fresh meanwhile.
	h.write(filepath.Join(h.secrets, "openai"), "sk-2")
	h.expect("sk-2")
	h.write(h.config, fmt.Sprintf(homeDocument, "back"))
	h.expect("back")
}

func TestHalfWritten(t *testing.T) {
	t.Parallel()
	h := newHome(t, plain, nil)
	whole := fmt.Sprintf(homeDocument, "whole")
	f, err := os.OpenFile(h.config, os.O_WRONLY|os.O_TRUNC, 0)
	h.ok(err)
	_, err = f.WriteString(whole[:len(whole)/2])
	h.ok(err)
	h.result(PartlyFailed)
	_, err = f.WriteString(whole[len(whole)/2:])
	h.ok(err)
	h.ok(f.Close())
	h.expect("whole")
	h.result(Changed)
}

// The directories themselves go and come back: no events are left, and the poll
// finds it out.
func TestDirectoryRecreated(t *testing.T) {
	t.Parallel()
	h := newHome(t, plain, func(f *Files) { f.poll = 20 * time.Millisecond })
	h.ok(os.RemoveAll(filepath.Dir(h.config)))
	h.ok(os.RemoveAll(h.secrets))
	h.result(AllFailed)
	h.write(filepath.Join(h.secrets, "openai"), "sk-2")
	h.write(h.config, fmt.Sprintf(homeDocument, "back"))
	h.expect("back")
	h.write(filepath.Join(h.secrets, "openai"), "sk-3")
	h.expect("sk-3")
}

// A file system without events.
func TestPollAlone(t *testing.T) {
	t.Parallel()
	h := newHome(t, plain, func(f *Files) {
		f.poll = 20 * time.Millisecond
		_ = f.events.Close()
		f.events = nil
	})
	h.write(filepath.Join(h.secrets, "openai"), "sk-22")
	h.expect("sk-22")
	h.write(h.config, fmt.Sprintf(homeDocument, "polled"))
	h.expect("polled")
}

// Where events are to be had and do not come, as on NFS and in Docker Desktop, the
// poll sees what has changed: also a file that was put in the place of one of the
// same size and time.
func TestPollBesideSilentEvents(t *testing.T) {
	t.Parallel()
	h := newHome(t, plain, func(f *Files) {
		f.poll = 20 * time.Millisecond
		f.events.Events = make(chan fsnotify.Event) // what the system sends goes nowhere
	})
	h.write(filepath.Join(h.secrets, "openai"), "sk-22") // longer, since it may have the time of the one before
	h.expect("sk-22")
	info, err := os.Stat(h.config)
	h.ok(err)
	other := filepath.Join(h.dir, "other")
	h.write(other, fmt.Sprintf(homeDocument, "other")) // as long as the first
	h.ok(os.Chtimes(other, info.ModTime(), info.ModTime()))
	if runtime.GOOS == "linux" {
		h.ok(os.Rename(other, h.config))
		h.expect("other")
	}
	h.write(h.config, fmt.Sprintf(homeDocument, "silent"))
	h.expect("silent")
}

// Other files of the directory are nothing to us: Bifrost's database and what we
// publish stand beside the config.
func TestWhatCounts(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config.source.json")
	f := NewFiles(nil, slog.New(slog.DiscardHandler))
	defer f.events.Close()
	f.Watch([]string{config})
	for name, want := range map[string]bool{
		"config.source.json": true, "..data": true,
		"config.json": false, "config.db": false, ".config.json.x.tmp": false, "config.source.json~": false,
	} {
		if got := f.counts(fsnotify.Event{Name: filepath.Join(dir, name), Op: fsnotify.Write}); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if !f.counts(fsnotify.Event{Name: dir, Op: fsnotify.Remove}) {
		t.Error("the directory's own end does not count")
	}
}
