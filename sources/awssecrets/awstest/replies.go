package awstest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// reply sends one answer.
type reply func(http.ResponseWriter)

// actionOf names what a request asks for.
func actionOf(r *http.Request, body []byte) string {
	if strings.HasPrefix(r.URL.Path, "/latest/") {
		return "InstanceMetadata"
	}
	if _, action, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "secretsmanager."); ok {
		return action
	}
	if form, err := url.ParseQuery(string(body)); err == nil {
		return form.Get("Action")
	}
	return ""
}

func sent(status int, body []byte) reply {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}
}

func fault(status int, code, text string) reply {
	return sent(status, wrong(code, text).body)
}

// page is what a proxy answers with.
func page(status int) reply {
	return sent(status, []byte("<html><title>"+http.StatusText(status)+"</title></html>"))
}

// truncated sends half of an answer, and closes.
func truncated(m message) reply {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", strconv.Itoa(len(m.body)))
		w.WriteHeader(m.status)
		_, _ = w.Write(m.body[:len(m.body)/2])
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		abort(w)
	}
}

// abort closes the connection without an answer.
func abort(http.ResponseWriter) { panic(http.ErrAbortHandler) }

// reset closes the connection so that the client sees "connection reset".
func reset(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// metadata answers as the instance metadata of a machine in eu-central-1 that
// has no role.
func metadata(r *http.Request) reply {
	switch r.URL.Path {
	case "/latest/api/token":
		return func(w http.ResponseWriter) {
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
			_, _ = w.Write([]byte("token"))
		}
	case "/latest/dynamic/instance-identity/document":
		b, _ := json.Marshal(map[string]string{"region": "eu-central-1"})
		return sent(http.StatusOK, b)
	}
	return page(http.StatusNotFound)
}

var roleForm = regexp.MustCompile(`^arn:aws:iam::([0-9]{12}):role/(.+)$`)

// assumeRole returns credentials that signer takes for those of the role's account.
func (f *Fake) assumeRole(action string, r *http.Request, body []byte) reply {
	form, _ := url.ParseQuery(string(body))
	role := roleForm.FindStringSubmatch(form.Get("RoleArn"))
	code := f.faults.RejectSTS
	if only := f.faults.RejectFor; only != "" && !strings.Contains(r.Header.Get("Authorization")+string(body), only) {
		code = ""
	}
	if role == nil {
		code = "ValidationError"
	}
	if code != "" {
		return sent(http.StatusForbidden, fmt.Appendf(nil,
			`<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>The request was rejected.</Message></Error></ErrorResponse>`, code))
	}
	f.roles++
	return sent(http.StatusOK, fmt.Appendf(nil, `<%[1]sResponse><%[1]sResult><AssumedRoleUser>`+
		`<Arn>arn:aws:sts::%[2]s:assumed-role/%[3]s/%[4]s</Arn><AssumedRoleId>AROA:%[4]s</AssumedRoleId></AssumedRoleUser>`+
		`<Credentials><AccessKeyId>ASIA%[2]s</AccessKeyId><SecretAccessKey>role</SecretAccessKey><SessionToken>role-%[6]d</SessionToken>`+
		`<Expiration>%[5]s</Expiration></Credentials></%[1]sResult></%[1]sResponse>`,
		action, role[1], role[2], form.Get("RoleSessionName"), time.Now().Add(cmp.Or(f.faults.RoleFor, time.Hour)).UTC().Format(time.RFC3339), f.roles))
}
