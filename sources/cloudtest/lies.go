package cloudtest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Lie is how a server misbehaves, whatever its API is: it answers in place of the
// right one, next.
type Lie struct {
	Name string
	// Serve answers. It may abandon the connection.
	Serve func(w http.ResponseWriter, r *http.Request, next http.Handler)
	// Silent says that nothing ends the request but the client's patience.
	Silent bool
	// Large says that much is sent before it shows.
	Large bool
}

// Elsewhere is the host that redirects go to. A [Server] answers for it too.
const Elsewhere = "thief.example"

// Lies are the ways of a server to misbehave that a client must survive, within
// its deadline and in bounded memory, and without taking what it is told for an
// answer. thief is the address of another host, without a slash at its end.
func Lies(thief string) []Lie {
	lies := []Lie{
		{Name: "a page", Serve: always(http.StatusOK, "text/html; charset=utf-8", "<!doctype html><html><body>Sign in to the Wi-Fi CANARY-7c1e</body></html>")},
		{Name: "nothing", Serve: always(http.StatusOK, "application/json", "")},
		{Name: "no content", Serve: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusNoContent) }},
		{Name: "null", Serve: always(http.StatusOK, "application/json", "null")},
		{Name: "a list", Serve: always(http.StatusOK, "application/json", `["CANARY-7c1e"]`)},
		{Name: "a text", Serve: always(http.StatusOK, "application/json", `"CANARY-7c1e"`)},
		{Name: "an object of nothing known", Serve: always(http.StatusOK, "application/json", `{"CANARY-7c1e": "CANARY-7c1e"}`)},
		{Name: "nested without end", Serve: always(http.StatusOK, "application/json", `{"value": `+strings.Repeat("[", 100<<10))},
		{Name: "not http", Serve: raw("SSH-2.0-OpenSSH_9.2 CANARY-7c1e\r\n")},
		{Name: "another length", Serve: raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{\"value\": \"CANARY-7c1e\"}")},
		{Name: "half a body", Serve: half},
		{Name: "gzip bomb", Large: true, Serve: bomb},
		{Name: "body without end", Large: true, Serve: endless},
		{Name: "headers without end", Large: true, Serve: headers},
		{Name: "redirect to itself", Serve: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			http.Redirect(w, r, r.URL.RequestURI(), http.StatusTemporaryRedirect)
		}},
		{Name: "one byte a second", Silent: true, Serve: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			drip(w, r, "{")
		}},
		{Name: "another protocol", Silent: true, Serve: another},
		{Name: "no answer", Silent: true, Serve: func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		}},
	}
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		lies = append(lies, Lie{Name: "redirect " + http.StatusText(status), Serve: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			w.Header().Set("Location", thief+r.URL.RequestURI())
			w.WriteHeader(status)
		}})
	}
	return lies
}

func always(status int, kind, body string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// raw sends bytes that need not be HTTP and closes the connection.
func raw(text string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(conn, text)
		_ = conn.Close()
	}
}

// half sends the first half of the right answer.
func half(w http.ResponseWriter, r *http.Request, next http.Handler) {
	right := httptest.NewRecorder()
	next.ServeHTTP(right, r)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(right.Code)
	_, _ = w.Write(right.Body.Bytes()[:right.Body.Len()/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// decoded is how many bytes a gzip bomb has.
const decoded = 4 << 30

// member is a mebibyte of text in about a thousand bytes; members that follow
// each other are one text.
var member = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = w.Write(bytes.Repeat([]byte("x"), 1<<20))
	_ = w.Close()
	return b.Bytes()
})

func bomb(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	var head bytes.Buffer
	z := gzip.NewWriter(&head)
	_, _ = io.WriteString(z, `{"value": "`)
	_ = z.Close()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Encoding", "gzip")
	_, _ = w.Write(head.Bytes())
	for range decoded >> 20 {
		if _, err := w.Write(member()); err != nil || r.Context().Err() != nil {
			return
		}
	}
}

func endless(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	w.Header().Set("Content-Type", "application/json")
	_, err := io.WriteString(w, `{"value": "`)
	for block := bytes.Repeat([]byte("x"), 64<<10); err == nil && r.Context().Err() == nil; {
		_, err = w.Write(block)
	}
}

func headers(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
	for line := "X-Padding: " + strings.Repeat("x", 4000) + "\r\n"; err == nil; {
		_, err = io.WriteString(conn, line)
	}
}

// another switches to another protocol, in which there is nothing to say: a connection
// that net/http then leaves to who reads from it, whatever has ended meanwhile.
func another(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Minute)) // of a client that never ends
	_, _ = io.Copy(io.Discard, conn)
}

func drip(w http.ResponseWriter, r *http.Request, text string) {
	w.Header().Set("Content-Type", "application/json")
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		if _, err := io.WriteString(w, text); err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		text = " "
		select {
		case <-second.C:
		case <-r.Context().Done():
			return
		}
	}
}

// Liar stands before a server and lies for it when it is told to. The zero Liar
// tells the truth. It is safe for concurrent use.
type Liar struct {
	lie    atomic.Pointer[Lie]
	stolen atomic.Int64
	modern atomic.Int64
}

// Tell makes it lie from now on; nil ends that.
func (l *Liar) Tell(lie *Lie) { l.lie.Store(lie) }

// Stolen returns the number of requests that were sent to [Elsewhere].
func (l *Liar) Stolen() int { return int(l.stolen.Load()) }

// Modern returns the number of requests that came by HTTP/2.
func (l *Liar) Modern() int { return int(l.modern.Load()) }

// Before returns the handler that lies or has next answer.
func (l *Liar) Before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor > 1 {
			l.modern.Add(1)
		}
		if r.Host == Elsewhere {
			l.stolen.Add(1)
			next.ServeHTTP(w, r) // a thief that answers as the right one would
			return
		}
		if lie := l.lie.Load(); lie != nil {
			// What is left unread keeps the server from noticing that the client is gone.
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			lie.Serve(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Thief returns a handler for an address of another host: it answers as next does.
func (l *Liar) Thief(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.stolen.Add(1)
		next.ServeHTTP(w, r)
	})
}

// Twisted are lies that are nearly right: the right answer with something done to
// each of its lists. thief is as for [Lies].
func Twisted(thief string) []Lie {
	return []Lie{
		{Name: "each entry twice", Serve: twist(func(list []any) []any { return append(list, list...) }, nil)},
		{Name: "null entries", Serve: twist(func(list []any) []any { return append([]any{nil}, list...) }, nil)},
		{Name: "a page that is followed by itself", Serve: twist(nil, func(r *http.Request) map[string]any {
			return map[string]any{"NextToken": "again", "nextPageToken": "again", "nextLink": "https://" + r.Host + r.URL.RequestURI()}
		})},
		{Name: "a page that is followed by another host's", Serve: twist(nil, func(r *http.Request) map[string]any {
			return map[string]any{"nextLink": thief + r.URL.RequestURI()}
		})},
	}
}

// twist changes every list in the answer, and what stands beside one at its top.
func twist(lists func([]any) []any, beside func(*http.Request) map[string]any) func(http.ResponseWriter, *http.Request, http.Handler) {
	var walk func(any) any
	walk = func(value any) any {
		switch value := value.(type) {
		case []any:
			for i := range value {
				value[i] = walk(value[i])
			}
			if lists != nil {
				return lists(value)
			}
		case map[string]any:
			for key := range value {
				value[key] = walk(value[key])
			}
		}
		return value
	}
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		right := httptest.NewRecorder()
		next.ServeHTTP(right, r)
		body := right.Body.Bytes()
		var object map[string]any
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		if right.Code == http.StatusOK && d.Decode(&object) == nil {
			twisted, _ := walk(object).(map[string]any)
			for _, value := range object {
				if _, list := value.([]any); list && beside != nil {
					maps.Copy(twisted, beside(r))
				}
			}
			body, _ = json.Marshal(twisted)
		}
		maps.Copy(w.Header(), right.Header())
		w.Header().Del("Content-Length")
		w.WriteHeader(right.Code)
		_, _ = w.Write(body)
	}
}
