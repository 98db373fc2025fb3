package control

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// PagePath is that of the status as a page for people.
const PagePath = "/"

// policy is what the page may do in a browser: no script at all, no style but its
// own, nothing from elsewhere, no frame around it.
var policy = sync.OnceValue(func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
})

// page shows the status to people, and takes the forms that it shows them. It wants
// a token whatever the listener, since other programs of the machine can have a
// browser send something to it.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	if s.tokens == nil {
		s.refuse(w, r, http.StatusNotFound, "there is no status page, since no token is configured", "start the server with --token-file or "+TokenVariable)
		return
	}
	right := s.tokens.get()
	if r.Method == http.MethodPost {
		s.form(w, r, right)
		return
	}
	if r.Header.Get("Origin") != "" {
		s.refuse(w, r, http.StatusForbidden, "requests of web pages are not answered: this one has an Origin", "")
		return
	}
	one, said := s.sessions.of(r, right)
	if one == nil {
		show(w, http.StatusOK, signIn(s.sessions.mark(""), ""))
		return
	}
	v := view{enabled: s.watcher.Enabled(), mark: s.sessions.mark(one.id), said: said, query: r.URL.Query()}
	if s.opts.Peers != nil {
		var err error
		if v.peers, err = s.peers(r.Context()); err != nil {
			v.alone = oneLine(err.Error())
		}
	}
	v.status, v.now = s.watcher.Status(), time.Now()
	show(w, http.StatusOK, overview(v))
}

// form takes what a form of the page sends. Nothing else may carry an Origin, and
// this must: that of the page itself.
func (s *Server) form(w http.ResponseWriter, r *http.Request, right tokens) {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	r.Body = http.MaxBytesReader(w, r.Body, s.limits.bodyBytes)
	err := r.ParseForm()
	s.extend(w) // a slow body has used it up
	one, _ := s.sessions.of(r, right)
	id := ""
	if one != nil {
		id = one.id
	}
	do := r.PostForm.Get("do")
	ours := subtle.ConstantTimeCompare([]byte(r.PostForm.Get("mark")), []byte(s.sessions.mark(id))) == 1
	switch {
	case !slices.Equal(r.Header.Values("Origin"), []string{scheme + r.Host}):
		s.refuse(w, r, http.StatusForbidden, "requests of other web pages are not answered: this one's Origin is not that of the status page", "")
	case err != nil:
		w.Header().Set("Connection", "close")
		s.refuse(w, r, bodyFault(err), "the form cannot be read", "")
	case (one == nil) != (do == "sign-in"): // the session is over, or was begun in another window
		http.Redirect(w, r, PagePath, http.StatusSeeOther)
	case !ours && one == nil:
		show(w, http.StatusForbidden, signIn(s.sessions.mark(""), "That form was shown before this program was started. Give the token again."))
	case !ours:
		s.refuse(w, r, http.StatusForbidden, "the form is not one that this server has shown to this browser", "load the page again")
	case one == nil:
		s.signIn(w, r, right)
	case do == "flush":
		s.sessions.say(one, s.flushed(w, r))
		http.Redirect(w, r, PagePath, http.StatusSeeOther)
	case do == "sign-out":
		s.sessions.end(one)
		gone := cookie(r) // without which a browser may show the page again when somebody goes back
		gone.MaxAge = -1
		http.SetCookie(w, gone)
		fallthrough
	default:
		http.Redirect(w, r, PagePath, http.StatusSeeOther)
	}
}

// signIn begins a session for who has given a right token. Others are slowed down.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request, right tokens) {
	if !s.sessions.guesses.allow(guesser(r)) {
		w.Header().Set("Retry-After", "10")
		s.refused.Do(func() { s.log.Warn("too many tokens were tried at the status page", "client", client(r)) })
		show(w, http.StatusTooManyRequests, signIn(s.sessions.mark(""), "Too many tokens were tried. Wait ten seconds."))
		return
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(r.PostForm.Get("token"))))
	if !right.hold(sum) {
		s.refused.Do(func() { s.log.Warn("a wrong token was tried at the status page", "client", client(r)) })
		show(w, http.StatusOK, signIn(s.sessions.mark(""), "That is not a right token.")) // else the browser's console would have an error
		return
	}
	known := cookie(r)
	known.Value, known.MaxAge = s.sessions.begin(sum).id, int(sessionLasts.Seconds())
	http.SetCookie(w, known)
	http.Redirect(w, r, PagePath, http.StatusSeeOther)
}

// flushed makes a refresh, and says what came of it.
func (s *Server) flushed(w http.ResponseWriter, r *http.Request) string {
	if !s.watcher.Enabled() {
		return "There is no vault_store, and so nothing to flush."
	}
	if _, ok := s.flights.enter(client(r)); !ok {
		return "Too many flushes: wait a second."
	}
	err := s.refresh(w, r)
	switch {
	case err == nil:
		return "Flushed: every secret was fetched again."
	case s.base.Err() != nil || errors.Is(err, r.Context().Err()):
		return "The refresh was not finished."
	}
	return "Flushed, and not all went well: see below."
}

// show answers with a page.
func show(w http.ResponseWriter, code int, page string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", policy())
	// Not no-referrer: with that, a browser leaves the Origin of a form out too.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(page)) // the client has gone
}
