package hashivault

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"

	"bifrost-secrets/sources"
)

// session is one token. It ends when the token can no longer be renewed, or was
// found not to be accepted; then the next request signs in anew.
type session struct {
	over atomic.Bool
	stop chan struct{}
	once sync.Once
}

func (s *session) end() { s.once.Do(func() { s.over.Store(true); close(s.stop) }) }

// signIn gives the client with a token that is good as far as is known, and what
// is known of the mount. The environment is read at the first use only, and
// again after a failure.
func (o *operation) signIn() (*api.Client, *session, *engine, *sources.Error) {
	s := o.source
	if o.ctx.Err() != nil {
		return nil, nil, nil, o.late()
	}
	select {
	case s.signing <- struct{}{}:
		defer func() { <-s.signing }()
	case <-o.ctx.Done():
		return nil, nil, nil, o.late()
	}
	fault := o.lookups.fault
	if dead := o.lookups.isDead(); dead != nil {
		fault = dead
	}
	if fault == nil {
		fault = o.prepare()
		o.lookups.fault = fault
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client, s.session, s.engine, fault
}

// prepare makes what is missing: a client, a session, the knowledge of the mount.
func (o *operation) prepare() (fault *sources.Error) {
	s := o.source
	s.mu.Lock()
	client, sess, mount := s.client, s.session, s.engine
	s.mu.Unlock()
	if client == nil {
		var idle func()
		if client, idle, fault = s.newClient(); fault != nil {
			return fault
		}
		s.mu.Lock()
		s.client, s.idle = client, idle
		s.mu.Unlock()
	}
	if sess == nil || sess.over.Load() {
		if sess, fault = o.newSession(client); fault != nil {
			return fault
		}
		o.lookups.mu.Lock()
		o.lookups.made = sess
		ended := o.lookups.ended
		o.lookups.mu.Unlock()
		if ended != nil {
			s.warn(sources.SignedInAnew("vault", ended))
		}
		s.mu.Lock()
		s.session = sess
		s.mu.Unlock()
	}
	if mount == nil {
		if mount, fault = o.look(client); fault != nil {
			return fault
		}
		s.mu.Lock()
		s.engine = mount
		s.mu.Unlock()
	}
	return nil
}

func (o *operation) newSession(client *api.Client) (*session, *sources.Error) {
	began := time.Now()
	made, err := o.login.make(o.ctx, client)
	attrs := []slog.Attr{slog.Duration("took", time.Since(began).Round(time.Millisecond))}
	if err != nil {
		fault := o.loginFault(err)
		o.log.LogAttrs(o.ctx, slog.LevelDebug, "vault sign-in", append(attrs, slog.String("failed", string(fault.Kind)))...)
		return nil, fault
	}
	o.log.LogAttrs(o.ctx, slog.LevelDebug, "vault sign-in", append(attrs,
		slog.Int("lease_seconds", made.Auth.LeaseDuration), slog.Bool("renewable", made.Auth.Renewable))...)
	sess := &session{stop: make(chan struct{})}
	if made.Auth.LeaseDuration > 0 { // else it never ends
		go o.source.keep(client, sess, made)
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

// engine is what is known of the mount.
type engine struct {
	version int
	unsure  bool // the token may not ask; version 2 is taken for granted
}

// look asks which version of the engine is mounted. A token that may do anything
// at all below a mount may ask this of it.
func (o *operation) look(client *api.Client) (*engine, *sources.Error) {
	known, err := client.Logical().ReadWithContext(o.ctx, "sys/internal/ui/mounts/"+o.mount)
	_, text, status := reply(err)
	switch {
	case status == 403 && !isBadToken(text) || err == nil && known == nil:
		return &engine{version: 2, unsure: true}, nil
	case status == 403:
		return nil, o.loginFault(err)
	case err != nil:
		return nil, o.fault("sys/internal/ui/mounts/"+o.mount, "", err)
	}
	kind, _ := known.Data["type"].(string)
	if kind == "" {
		return nil, o.unreachable("an answer without what is mounted at "+o.mount, nil)
	}
	if kind != "kv" && kind != "generic" {
		return nil, badSettings("the engine that is mounted at "+o.mount+" keeps no secrets: it has the type "+kind,
			"set mount_path in vault_store.hashicorp to a mount of the type kv")
	}
	if path, _ := known.Data["path"].(string); path != "" && path != o.mount+"/" {
		return nil, badSettings("mount_path is "+o.mount+", which is a folder in a mount, and not one",
			"set mount_path to the mount alone, and begin the paths of references with the rest")
	}
	options, _ := known.Data["options"].(map[string]any)
	if version, _ := options["version"].(string); version == "2" {
		return &engine{version: 2}, nil
	}
	return &engine{version: 1}, nil
}

// path gives the path of a request: in version 2, what is asked for stands
// between the mount and the name.
func (e *engine) path(mount, what, name string) string {
	path := mount
	if e.version == 2 {
		path += "/" + what
	}
	if name != "" {
		path += "/" + name
	}
	return path
}
