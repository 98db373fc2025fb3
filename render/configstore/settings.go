package configstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
	"bifrost-secrets/walker"

	"github.com/tidwall/gjson"
)

// Part returns the piece of a document that says where its config store is, as a
// document of its own: what has to be resolved to reach the database. It is nil
// where the document has no PostgreSQL config store that is switched on.
func Part(doc *walker.Document) *walker.Document {
	found := doc.Members("config_store")
	if len(found) == 0 {
		return nil
	}
	raw := doc.Text(found[len(found)-1].Value)
	block := gjson.ParseBytes(raw)
	if get(block, "type").String() != "postgres" || get(block, "enabled").Type == gjson.False {
		return nil
	}
	config := get(block, "config").Raw
	if config == "" {
		config = "{}"
	}
	part, err := walker.Parse(doc.Name, []byte(`{"config_store":{"type":"postgres","config":`+config+`}}`))
	if err != nil {
		return nil // a part of what is valid is valid
	}
	return part
}

// get returns a member as encoding/json finds it: the last, whatever its case.
func get(object gjson.Result, name string) (found gjson.Result) {
	object.ForEach(func(key, value gjson.Result) bool {
		if strings.EqualFold(key.String(), name) {
			found = value
		}
		return true
	})
	return found
}

// Settings reads what [Part] gave, with the values in place of vault.
// references. env. references are looked up with getenv. A password_command is
// run with the environment that environ returns; where environ is nil it is an
// error. What libpq's variables have for a password goes to a host that PGHOST does
// not name only if trusted. Errors are of kind BadSettings.
func Settings(part []byte, getenv func(string) (string, bool), environ func() []string, trusted bool) (database.Settings, error) {
	config := get(get(gjson.ParseBytes(part), "config_store"), "config")
	var s database.Settings
	var failed error
	text := func(name string) string {
		value := get(config, name)
		if value.Raw == "" {
			return ""
		}
		f := walker.NewField(&setting, name, []byte(value.Raw))
		switch {
		case f.What == walker.Null:
			return ""
		case f.What == walker.Ref && f.Ref.Scheme == walker.Env:
			got, ok := getenv(f.Ref.Name)
			if !ok && failed == nil {
				failed = bad(fmt.Sprintf("config_store.config.%s is %s, and that variable is not set", name, f.Ref), "set it")
			}
			return got
		case f.What == walker.Literal, f.What == walker.Other:
			return f.Text()
		}
		if failed == nil {
			failed = bad(fmt.Sprintf("config_store.config.%s is a %s", name, f.What), "write the value, or a reference to it")
		}
		return ""
	}
	s.Host, s.Port, s.User, s.DBName, s.SSLMode = text("host"), text("port"), text("user"), text("db_name"), text("ssl_mode")
	s.Password = sources.NewSecret([]byte(text("password")))
	if host, _ := getenv("PGHOST"); !trusted && host != s.Host {
		s.Elsewhere = "config_store.config.host"
	}
	if command := get(config, "password_command"); command.IsObject() {
		s.PasswordCommand = passwordCommand(command, environ)
		if environ == nil && failed == nil {
			failed = bad("config_store.config.password_command is a command of the document, which is not run without --allow-commands", "give it where whoever writes the document may run commands here")
		}
	}
	if failed == nil && s.Host == "" {
		failed = bad("config_store.config has no host", "name the host of PostgreSQL, or give --database URL")
	}
	return s, failed
}

var setting = walker.Entry{Pattern: "config_store.config", Form: walker.SecretVarForm}

func bad(message, hint string) error {
	return &sources.Error{Kind: sources.BadSettings, Message: message, Hint: hint}
}

// commandTime is how long a password_command may take, where it does not say.
const commandTime = 10 * time.Second

// passwordMost is longer than any password, in bytes.
const passwordMost = 64 << 10

// password takes what a command prints, which may have no end.
type password struct {
	text    []byte
	endless bool
}

func (p *password) Write(b []byte) (int, error) {
	if len(p.text)+len(b) > passwordMost {
		p.endless = true
		return 0, errEndless // which ends the command, by SIGPIPE
	}
	p.text = append(p.text, b...)
	return len(b), nil
}

var errEndless = fmt.Errorf("it printed more than %d bytes", passwordMost)

// passwordCommand runs a command for the password, without a shell, as Bifrost
// does. What it prints to its standard error is not shown: it may say anything.
func passwordCommand(config gjson.Result, environ func() []string) func(context.Context) (sources.Secret, error) {
	name := get(config, "command").String()
	var args []string
	for _, arg := range get(config, "args").Array() {
		args = append(args, arg.String())
	}
	timeout := commandTime
	if d, err := time.ParseDuration(get(config, "timeout").String()); err == nil && d > 0 {
		timeout = d
	}
	return func(ctx context.Context) (sources.Secret, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		var out password
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Stdout, cmd.Env = &out, environ()
		cmd.WaitDelay = time.Second
		if err := cmd.Run(); err != nil {
			reason := "it cannot be started"
			var status *exec.ExitError
			switch {
			case ctx.Err() != nil:
				reason = "it did not end within " + timeout.String()
			case out.endless:
				reason = errEndless.Error()
			case errors.As(err, &status):
				reason = status.ProcessState.String()
			}
			return sources.Secret{}, &sources.Error{
				Kind: sources.NoLogin, Message: "config_store.config.password_command failed: " + reason,
				Hint: "run it by hand as this user", Err: err,
			}
		}
		password := bytes.TrimRight(out.text, "\r\n")
		if len(password) == 0 {
			return sources.Secret{}, &sources.Error{Kind: sources.NoLogin, Message: "config_store.config.password_command printed no password", Hint: "run it by hand as this user"}
		}
		return sources.NewSecret(password), nil
	}
}
