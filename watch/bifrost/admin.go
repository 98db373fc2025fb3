package bifrost

import (
	"context"
	"net/http"
	"strings"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
)

// readAdmin returns the admin of a rendered document, and nil where there is none, the
// login is switched off, or a part of it is a reference for Bifrost to resolve.
func readAdmin(doc *walker.Document) (admin *Auth) {
	texts := map[string]sources.Secret{}
	doc.Walk(func(f *walker.Field) bool {
		if f.Entry != nil && f.What == walker.Literal && f.Text() != "" && strings.Contains(f.Entry.Pattern, "auth_config.admin_") {
			texts[f.Entry.Pattern] = sources.NewSecret([]byte(f.Text()))
		}
		return true
	})
	for _, at := range []string{"auth_config", "governance.auth_config"} {
		user, has := texts[at+".admin_username"]
		password, also := texts[at+".admin_password"]
		doc.Each(at, func(o walker.Object) {
			m, ok := doc.Find(o, "is_enabled")
			if ok && string(doc.Text(m.Value)) == "true" && has && also && admin == nil {
				admin = &Auth{Scheme: Basic, User: user, Secret: password}
			}
		})
	}
	return admin
}

const configPath = "/api/config"

// configRecord is the whole configuration that the dashboard edits.
func (j *job) configRecord() record {
	const what = "the configuration"
	return record{
		what: what,
		read: func(ctx context.Context) (value, *Error) { return j.get(ctx, configPath) },
		check: func(top value, _ []place) *Error {
			login, client := top.member("auth_config"), top.member("client_config")
			if login.kind() != '{' || client.kind() != '{' || top.member("framework_config").kind() != '{' {
				return unknownShape(what, "lacks auth_config, client_config or framework_config")
			}
			if enabled, ok := login.member("is_enabled").boolean(); !ok {
				return unknownShape(what, "does not say whether the login is enabled")
			} else if !enabled {
				return noWay("bifrost's login is switched off", "switch it on in bifrost, or restart bifrost, which reads the file")
			}
			days, whole, isNumber := client.member("log_retention_days").number()
			if !isNumber {
				return unknownShape(what, "has no log_retention_days")
			}
			if !whole || days < 1 {
				return noWay("bifrost shows a log_retention_days below 1 and takes none back, so its configuration cannot be written",
					"set client.log_retention_days in the document to 1 or more, and restart bifrost, which reads the file")
			}
			return nil
		},
		path: func(value) string { return configPath },
	}
}

// settleAdmin brings a new admin user or password about. Bifrost shows nothing
// of the password, so that the proof is to sign in with it.
func (j *job) settleAdmin(ctx context.Context, places []place) {
	state, f := j.tryAdmin(ctx)
	r := j.configRecord()
	var before, now value
	var changed [][]walker.Step
	wrote := false
	if f == nil && state != watch.Verified && j.mode != verify {
		if before, f = r.read(ctx); f == nil {
			now, changed, f = j.write(ctx, r, before, places)
		}
		wrote = f == nil
		if wrote || f.state != watch.RestartRequired {
			// Whatever came back, also nothing: from now on the new ones may hold.
			again, tried := j.tryAdmin(ctx)
			if wrote || tried == nil && again == watch.Verified {
				state, f = again, tried
			}
		}
	}
	if f != nil {
		j.fail(places, f)
		return
	}
	for _, p := range places {
		o := watch.Outcome{Path: p.path, State: state}
		switch state {
		case watch.Failed:
			o.Reason, o.Hint = "bifrost does not let the admin of the document in", "push it, or restart bifrost, which reads the file"
		case watch.Unverifiable:
			o.Reason = "bifrost lets in without credentials, so that they cannot be tried"
		}
		j.outcomes[p.index] = o
	}
	if state == watch.Verified {
		j.mu.Lock()
		if j.auth.Scheme == Basic {
			j.auth = *j.admin
		}
		j.mu.Unlock()
	}
	if !wrote {
		return
	}
	if after, f := r.read(ctx); f == nil {
		j.note(r, now, after, changed, places)
	}
}

// tryAdmin signs in as the document's admin: Verified if Bifrost lets that one
// in and keeps everybody else out, Failed if it does not, Unverifiable if it
// asks nobody.
func (j *job) tryAdmin(ctx context.Context) (watch.State, *Error) {
	if j.admin == nil {
		return "", noWay("the document has no admin that is enabled and has a user and a password", restartIt)
	}
	if !j.private {
		return "", noWay("the admin's credentials would travel unencrypted to "+j.where, private)
	}
	for _, auth := range []Auth{{}, *j.admin} {
		a, f := j.send(ctx, http.MethodGet, configPath, nil, auth)
		switch {
		case f != nil:
			return "", f
		case a.status == http.StatusOK && auth.Scheme == NoAuth:
			return watch.Unverifiable, nil
		case a.status == http.StatusOK:
			return watch.Verified, nil
		case a.status != http.StatusUnauthorized:
			return "", a.refused()
		}
	}
	return watch.Failed, nil
}
