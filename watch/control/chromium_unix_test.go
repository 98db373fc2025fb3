//go:build unix

package control

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// browserPatience guards against waiting for ever.
const browserPatience = 2 * time.Minute

// chromium returns the browser's program.
func chromium(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("it starts a browser")
	}
	if path := os.Getenv("CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	path, err := filepath.Abs("../../.cache/chromium/run")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	const missing = "Chromium NOT FOUND: the status page is not seen by a browser; install Debian's chromium-headless-shell, or run make setup"
	if os.Getenv("BIFROST_REQUIRE_BACKENDS") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// browser is a page of a Chromium that is spoken to over a pair of pipes.
type browser struct {
	t       *testing.T
	in      *os.File
	session string
	seq     int

	mu      sync.Mutex
	answers map[int]chan json.RawMessage
	loaded  chan struct{}
	next    bool     // another page is there, and not loaded yet
	console []string // errors and warnings, and what the browser itself has said
}

// browse starts a browser, which ends with the test.
func browse(t *testing.T) *browser {
	t.Helper()
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cmd := exec.Command(chromium(t), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--ignore-certificate-errors", "--remote-debugging-pipe", "--user-data-dir="+home, "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home)
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = theirIn.Close(), theirOut.Close()
	b := &browser{t: t, in: in, answers: map[int]chan json.RawMessage{}, loaded: make(chan struct{}, 100)}
	var reading sync.WaitGroup
	reading.Go(func() { b.read(out) })
	t.Cleanup(func() {
		b.session = ""
		b.call("Browser.close", nil, nil)
		_ = cmd.Wait()
		reading.Wait()
		_, _ = in.Close(), out.Close()
	})
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

// read takes what the browser says: messages that end in a zero byte.
func (b *browser) read(out *os.File) {
	r := bufio.NewReader(out)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m struct {
			ID     int
			Method string
			Params json.RawMessage
			Result json.RawMessage
			Error  json.RawMessage
		}
		if err := json.Unmarshal(text[:len(text)-1], &m); err != nil {
			continue
		}
		b.mu.Lock()
		switch {
		case m.ID != 0:
			if m.Error != nil {
				b.console = append(b.console, "protocol: "+string(m.Error))
			}
			if c := b.answers[m.ID]; c != nil {
				c <- m.Result
			}
		case m.Method == "Page.frameNavigated":
			var to struct{ Frame struct{ URL string } }
			b.next = json.Unmarshal(m.Params, &to) == nil && to.Frame.URL != "about:blank"
		case m.Method == "Page.loadEventFired" && b.next: // that of the page before may come late
			b.next = false
			b.loaded <- struct{}{}
		case m.Method == "Log.entryAdded", m.Method == "Runtime.exceptionThrown", m.Method == "Runtime.consoleAPICalled":
			b.console = append(b.console, string(m.Params))
		}
		b.mu.Unlock()
	}
}

// call has the browser do something, and puts what it answers into result, which
// may be nil.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	b.seq++
	answer := make(chan json.RawMessage, 1)
	b.mu.Lock()
	b.answers[b.seq] = answer
	b.mu.Unlock()
	message := map[string]any{"id": b.seq, "method": method}
	if params != nil {
		message["params"] = params
	}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	text, err := json.Marshal(message)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		b.t.Fatal(err)
	}
	select {
	case got := <-answer:
		if result != nil {
			if err := json.Unmarshal(got, result); err != nil {
				b.t.Fatalf("%s: %v", method, err)
			}
		}
	case <-time.After(browserPatience):
		b.t.Fatalf("%s: no answer", method)
	}
}

// load waits for the page that act leads to.
func (b *browser) load(act func()) {
	b.t.Helper()
	for len(b.loaded) > 0 {
		<-b.loaded
	}
	act()
	select {
	case <-b.loaded:
	case <-time.After(browserPatience):
		b.t.Fatal("the page does not load")
	}
}

func (b *browser) visit(url string) {
	b.t.Helper()
	b.load(func() { b.call("Page.navigate", map[string]any{"url": url}, nil) })
}

// eval returns what an expression of JavaScript is, as text. The page itself may run
// none.
func (b *browser) eval(expression string) string {
	b.t.Helper()
	var got struct {
		Result           struct{ Value any }
		ExceptionDetails any
	}
	b.call("Runtime.evaluate", map[string]any{"expression": "String(" + expression + ")", "returnByValue": true}, &got)
	if got.ExceptionDetails != nil {
		b.t.Fatalf("%s: %v", expression, got.ExceptionDetails)
	}
	text, _ := got.Result.Value.(string)
	return text
}

// click presses what a selector names, and waits for the page that follows.
func (b *browser) click(selector string) {
	b.t.Helper()
	b.load(func() { b.eval("document.querySelector(`" + selector + "`).click()") })
}

// fill writes text into a field.
func (b *browser) fill(selector, text string) {
	b.t.Helper()
	b.eval("document.querySelector(`" + selector + "`).value = `" + text + "`")
}

// text is what is read on the page.
func (b *browser) text() string { return b.eval("document.body.innerText") }

// read aloud: the names that the page's accessibility tree has for a role.
func (b *browser) named(role string) (names []string) {
	b.t.Helper()
	var tree struct {
		Nodes []struct {
			Ignored    bool
			Role, Name struct{ Value any }
		}
	}
	b.call("Accessibility.getFullAXTree", nil, &tree)
	for _, n := range tree.Nodes {
		if got, _ := n.Role.Value.(string); got == role && !n.Ignored {
			name, _ := n.Name.Value.(string)
			names = append(names, name)
		}
	}
	return names
}

// window sets the size of the window, and whether it is dark there.
func (b *browser) window(width, height int, dark bool) {
	b.t.Helper()
	scheme := map[bool]string{true: "dark", false: "light"}[dark]
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// quiet fails if anything was said on the console that begins with none of allowed.
func (b *browser) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.console) > 0 {
		b.t.Errorf("the console says:\n%s", strings.Join(b.console, "\n"))
	}
}

// shoot writes a picture of the window into the folder of BIFROST_SCREENSHOTS,
// if there is one.
func (b *browser) shoot(name string) {
	b.t.Helper()
	dir := os.Getenv("BIFROST_SCREENSHOTS")
	if dir == "" {
		return
	}
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		b.t.Error(err)
	}
}
