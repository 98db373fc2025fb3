package control

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/watch"
)

// The paths, which are a promise. Those below /api are Bifrost Enterprise's, or
// stand beside them.
const (
	FlushPath   = "/api/vault/flush-cache"
	StatusPath  = "/api/vault/status"
	HealthPath  = "/healthz"
	ReadyPath   = "/readyz"
	MetricsPath = "/metrics"
)

// routes is all that answers on one listener.
func (s *Server) routes(f *face) http.Handler {
	mux := http.NewServeMux()
	reading := []string{http.MethodGet, http.MethodHead}
	mux.Handle(HealthPath, s.only(reading, s.health))
	mux.Handle(ReadyPath, s.only(reading, s.ready))
	if s.opts.Metrics != nil {
		mux.Handle(MetricsPath, s.only(reading, s.opts.Metrics.ServeHTTP))
	}
	if f.kind != probes {
		mux.Handle(FlushPath, s.only([]string{http.MethodPost}, s.trusted(f, s.flush)))
		mux.Handle(StatusPath, s.only(reading, s.trusted(f, s.status)))
		mux.Handle(PagePath+"{$}", s.only(append(reading, http.MethodPost), s.page))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fail(w, http.StatusNotFound, "not found", "") })
	if f.kind == overSocket || !f.loopback {
		return mux
	}
	return s.local(mux)
}

// recovering answers for a handler that panics, and shows where: the log that
// net/http would write to is for strangers' mistakes. What it panicked with may
// be anything, and stays out.
func (s *Server) recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			fault := recover()
			if fault == nil {
				return
			}
			if fault == http.ErrAbortHandler {
				panic(fault)
			}
			s.log.Error("a fault of this program", "path", knownPath(r.URL.Path), "type", fmt.Sprintf("%T", fault), "stack", string(debug.Stack()))
			fail(w, http.StatusInternalServerError, "a fault of this program; its log says where", "")
		}()
		next.ServeHTTP(w, r)
	})
}

// local refuses requests by other names than this machine's own: a web page
// that has its own name resolve to 127.0.0.1 could otherwise ask us through the
// browser, as if we were where the page comes from.
func (s *Server) local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLocal(r.Host) {
			s.refuse(w, r, http.StatusForbidden, "this listener answers to localhost and 127.0.0.1 only, and was called by another name", "")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isLocal(host string) bool {
	if name, port, err := net.SplitHostPort(host); err == nil {
		if strings.Trim(port, "0123456789") != "" {
			return false
		}
		host = name
	} else if inner, ok := strings.CutPrefix(host, "["); ok {
		if host, ok = strings.CutSuffix(inner, "]"); !ok {
			return false
		}
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	// An address cannot be made to mean another machine, as a name can.
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() && ip.Zone() == ""
}

// only lets some methods through.
func (s *Server) only(methods []string, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(methods, r.Method) {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			s.refuse(w, r, http.StatusMethodNotAllowed, "method not allowed: use "+methods[0], "")
			return
		}
		next(w, r)
	})
}

// trusted lets through who may flush and see the status.
func (s *Server) trusted(f *face, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "" {
			s.refuse(w, r, http.StatusForbidden, "requests of web pages are not answered: this one has an Origin", "")
			return
		}
		given := r.Header.Values("Authorization")
		switch {
		case f.kind == overSocket && (len(given) == 0 || s.tokens == nil):
			// Who can connect may ask.
		case s.tokens == nil:
			s.refuse(w, r, http.StatusNotFound, "this path exists on a unix socket only, since no token is configured",
				"start the server with --token-file or "+TokenVariable+", or with --listen unix:PATH")
			return
		case len(given) == 0:
			w.Header().Set("WWW-Authenticate", `Bearer realm="bifrost-secrets"`)
			s.refuse(w, r, http.StatusUnauthorized, "a bearer token is needed", "")
			return
		case !s.tokens.get().has(bearer(given)):
			w.Header().Set("WWW-Authenticate", `Bearer realm="bifrost-secrets", error="invalid_token"`)
			s.refuse(w, r, http.StatusUnauthorized, "the bearer token is not a right one", "")
			return
		}
		next(w, r)
	}
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") }

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if err := s.watcher.Ready(); err != nil {
		plain(w, http.StatusServiceUnavailable, "not ready: "+oneLine(err.Error()))
		return
	}
	plain(w, http.StatusOK, "ok")
}

// NotListed is why there is no cluster to be shown.
const NotListed = "the watchers of this cluster are not listed"

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	st := s.watcher.Status()
	if r.URL.Query().Has("cluster") {
		if s.opts.Peers == nil {
			s.refuse(w, r, http.StatusBadRequest, NotListed, "start each of them with --cluster table, or with ,table behind the address")
			return
		}
		var err error
		if st.Cluster, err = s.peers(r.Context()); err != nil {
			s.refuse(w, r, http.StatusBadGateway, "the cluster cannot be shown: "+oneLine(err.Error()), sources.HintOf(err))
			return
		}
	}
	if st.References == nil {
		st.References = []watch.ReferenceStatus{}
	}
	if st.Problems == nil {
		st.Problems = []string{}
	}
	answer(w, http.StatusOK, st)
}

// peersLimit is how long the database of the cluster may take.
const peersLimit = 5 * time.Second

func (s *Server) peers(ctx context.Context) ([]watch.Peer, error) {
	ctx, cancel := context.WithTimeout(ctx, peersLimit)
	defer cancel()
	return s.opts.Peers(ctx)
}

// problem is the body of every answer that is not a success.
type problem struct {
	Error   string    `json:"error"`
	Hint    string    `json:"hint,omitempty"`
	Secrets []failing `json:"secrets,omitzero"`
}

func fail(w http.ResponseWriter, code int, reason, hint string) {
	answer(w, code, problem{Error: reason, Hint: hint})
}

// refuse is fail, with a log line. A stranger cannot fill the log.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, code int, reason, hint string) {
	s.refused.Do(func() {
		// Neither headers nor the query, nor a path of the client's making: a
		// token may have been put there by mistake.
		s.log.Warn("request refused", "code", code, "reason", reason, "path", knownPath(r.URL.Path), "client", client(r))
	})
	fail(w, code, reason, hint)
}

func knownPath(path string) string {
	if slices.Contains([]string{FlushPath, StatusPath, HealthPath, ReadyPath, MetricsPath, PagePath}, path) {
		return path
	}
	return "another"
}

// client tells the machines apart that ask.
func client(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return "unix socket"
}

func answer(w http.ResponseWriter, code int, body any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // the client has gone
}

func plain(w http.ResponseWriter, code int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = fmt.Fprintln(w, text)
}

func oneLine(text string) string { return strings.Join(strings.FieldsFunc(text, isBreak), "; ") }

func isBreak(r rune) bool { return r == '\n' || r == '\r' }

// drain reads the body, which nobody needs, so that the connection can be used
// again and its end is noticed. It returns the status code for one that is too
// large, too slow or cut short, and 0 otherwise.
func (s *Server) drain(w http.ResponseWriter, r *http.Request) int {
	if r.ContentLength > s.limits.bodyBytes {
		return http.StatusRequestEntityTooLarge
	}
	_, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, s.limits.bodyBytes))
	return bodyFault(err)
}

// extend begins the client's time for taking an answer anew.
func (s *Server) extend(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.limits.write))
}
