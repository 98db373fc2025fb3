package hashivault

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/perkey"
)

// session is one token. It ends when the token can no longer be renewed, or was
// found not to be accepted; then the next operation signs in anew.
type session struct {
	made time.Time
	over atomic.Bool
	stop chan struct{}
	once sync.Once

	mu    sync.Mutex // held while the token is asked what it is
	asked *operation // that it was asked in last, and was good
}

func (s *session) end() { s.once.Do(func() { s.over.Store(true); close(s.stop) }) }

// signIn returns a session with a token that is good as far as is known, and what
// is known of the mount. The environment is read at the first use only, and
// again after a failure.
func (s *source) signIn(ctx context.Context, began time.Time, current *session, _ []perkey.Name) (_ *session, fault *sources.Error) {
	if s.client == nil {
		if s.client, s.idle, fault = s.newClient(); fault != nil {
			return nil, fault
		}
	}
	if current == nil || current.over.Load() {
		if current, fault = s.newSession(ctx, began); fault != nil {
			return nil, fault
		}
	}
	if e := s.engine.Load(); e == nil || e.doubted.Load() {
		var known *engine
		if known, fault = s.mounted(ctx, began); fault == nil {
			s.engine.Store(known) // and never nil, which others may be using
		} else if fault.Kind == sources.NoLogin {
			current.end() // the next operation signs in anew
		}
	}
	return current, fault
}

// close ends the renewal of a token and the idle connections.
func (s *source) close(sess *session) {
	sess.end()
	s.idle()
}

func (s *source) newSession(ctx context.Context, began time.Time) (*session, *sources.Error) {
	made, err := s.login.make(ctx, s.client)
	if err != nil {
		s.idle()
		return nil, s.loginFault(ctx, began, err)
	}
	s.log.Debug("vault token", "lease_seconds", made.Auth.LeaseDuration, "renewable", made.Auth.Renewable)
	sess := &session{made: time.Now(), stop: make(chan struct{})}
	if made.Auth.LeaseDuration > 0 { // else it never ends
		go s.keep(s.client, sess, made)
	}
	return sess, nil
}

// keep renews a token until the source is closed. Where it cannot be renewed any
// further, the session is over shortly before the token is.
//
// The client's watcher renews at once when it starts. It starts at half the
// lease, so that a program that fetches once does not renew what it has just
// been given.
func (s *source) keep(client *api.Client, sess *session, made *api.Secret) {
	defer sess.over.Store(true)
	half := time.NewTimer(time.Duration(made.Auth.LeaseDuration) * time.Second / 2)
	defer half.Stop()
	select {
	case <-sess.stop:
		return
	case <-half.C:
	}
	left := *made.Auth
	left.LeaseDuration -= left.LeaseDuration / 2
	w, err := client.NewLifetimeWatcher(&api.LifetimeWatcherInput{Secret: &api.Secret{Auth: &left}})
	if err != nil {
		return
	}
	go w.Start()
	for {
		select {
		case <-sess.stop:
			w.Stop()
			return
		case <-w.DoneCh():
			s.log.Debug("vault token ends")
			return
		case <-w.RenewCh():
			s.log.Debug("vault token renewed")
		}
	}
}

var typeForm = perkey.Pattern(`^[a-z][a-z0-9_-]{0,39}$`)

// engine is what is known of the mount.
type engine struct {
	version int
	unsure  bool // the token may not ask; version 2 is taken for granted
	// doubted says that a secret was not found: the mount may be another by now, and
	// the next operation asks again.
	doubted atomic.Bool
}

// mounted asks which version of the engine is mounted. A token that may do anything
// at all below a mount may ask this of it.
func (s *source) mounted(ctx context.Context, began time.Time) (*engine, *sources.Error) {
	path := "sys/internal/ui/mounts/" + s.mount
	known, err := s.client.Logical().ReadWithContext(ctx, path)
	_, text, status := reply(err)
	switch {
	case status == 403 && !isBadToken(text) || err == nil && known == nil:
		return &engine{version: 2, unsure: true}, nil
	case status == 403:
		return nil, s.loginFault(ctx, began, err)
	case err != nil:
		return nil, s.fault(ctx, began, reading, path, perkey.Name{}, err)
	}
	kind, _ := known.Data["type"].(string)
	if kind == "" {
		return nil, s.unreachable("an answer without what is mounted at "+s.mount, nil)
	}
	if kind != "kv" && kind != "generic" {
		message := "the engine that is mounted at " + s.mount + " keeps no secrets"
		if typeForm().MatchString(kind) {
			message += ": it has the type " + kind
		}
		return nil, sources.NewError(sources.BadSettings, message,
			"set mount_path in vault_store.hashicorp to a mount of the type kv")
	}
	if path, _ := known.Data["path"].(string); path != "" && path != s.mount+"/" {
		return nil, sources.NewError(sources.BadSettings, "mount_path is "+s.mount+", which is a folder in a mount, and not one",
			"set mount_path to the mount alone, and begin the paths of references with the rest")
	}
	options, _ := known.Data["options"].(map[string]any)
	if version, _ := options["version"].(string); version == "2" {
		return &engine{version: 2}, nil
	}
	return &engine{version: 1}, nil
}

// path returns the path of a request: in version 2, the part that is asked for
// stands between the mount and the name.
func (e *engine) path(mount, part, name string) string {
	path := mount
	if e.version == 2 {
		path += "/" + part
	}
	if name != "" {
		path += "/" + name
	}
	return path
}
