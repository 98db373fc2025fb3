package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"bifrost-secrets/sources/awssecrets/awstest"
)

// The credentials of the backend are secrets too.
var (
	canaryID    = "AKIA" + plainCanary("access key id")
	canaryKey   = plainCanary("secret access key")
	canaryToken = plainCanary("session token")
	canaryLogin = []string{"AWS_ACCESS_KEY_ID=" + canaryID, "AWS_SECRET_ACCESS_KEY=" + canaryKey, "AWS_SESSION_TOKEN=" + canaryToken, "AWS_MAX_ATTEMPTS=1"}
)

func awsStore(block string) string {
	return `, "config_store": {"vault_store": {"enabled": true, "type": "aws-secrets-manager", "aws": {"region": "us-east-1"` + block + `}}}`
}

// awsEnv returns the environment for a server at url, with the canary's login.
func awsEnv(url string) []string {
	return append([]string{
		"AWS_ENDPOINT_URL=" + url, "AWS_ENDPOINT_URL_STS=" + url, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"AWS_EC2_METADATA_DISABLED=true",
	}, canaryLogin...)
}

// TestCanaryAWS looks for secrets in what is said of an AWS that fails.
func TestCanaryAWS(t *testing.T) {
	t.Parallel()
	a, b := canary("a"), canary("b")
	secrets := []string{a, b, canaryID, canaryKey, canaryToken}
	two := keysFor(awsStore(""), "vault.a", "vault.o#b")
	const always = awstest.Always
	for _, tt := range []struct {
		name   string
		faults awstest.Faults
		config string
		flags  []string
		fine   bool
	}{
		{name: "all is well", fine: true},
		{name: "batches are denied", faults: awstest.Faults{DenyBatch: true}, fine: true},
		{name: "throttled", faults: awstest.Faults{Throttle: always}},
		{name: "500", faults: awstest.Faults{Fail: always}},
		{name: "reset", faults: awstest.Faults{Reset: always}},
		{name: "truncated", faults: awstest.Faults{Truncate: always}},
		{name: "truncated one by one", faults: awstest.Faults{DenyBatch: true, Truncate: always}},
		{name: "garbled", faults: awstest.Faults{Garble: always}},
		{name: "empty", faults: awstest.Faults{Empty: always}},
		{name: "hanging", faults: awstest.Faults{Hang: true}, flags: []string{"--timeout", "150ms"}},
		{name: "half of it hangs", faults: awstest.Faults{DenyBatch: true}, flags: []string{"--timeout", "150ms"}, config: keysFor(awsStore(""), "vault.a", "vault.held")},
		{name: "rejected", faults: awstest.Faults{Reject: "InvalidSignatureException"}},
		{name: "expired", faults: awstest.Faults{Reject: "ExpiredTokenException"}},
		{name: "a page", faults: awstest.Faults{Status: http.StatusBadGateway}},
		{name: "denied", config: keysFor(awsStore(""), "vault.denied", "vault.a")},
		{name: "binary", config: keysFor(awsStore(""), "vault.binary", "vault.a")},
		{name: "too large", config: keysFor(awsStore(""), "vault.large", "vault.a")},
		{name: "no such secret", config: keysFor(awsStore(""), "vault.none", "vault.a")},
		{name: "no such key", config: keysFor(awsStore(""), "vault.o#c", "vault.a#b")},
		{name: "a role that is not given", faults: awstest.Faults{RejectSTS: "AccessDenied"}, config: keysFor(awsStore(`, "role_arn": "arn:aws:iam::222233334444:role/r"`), "vault.a")},
		{name: "credentials in the block", fine: true, config: keysFor(awsStore(`, "access_key_id": "`+canaryID+`", "secret_access_key": "`+canaryKey+`", "session_token": "`+canaryToken+`"`), "vault.a", "vault.o#b")},
		{name: "credentials in the block that are rejected", faults: awstest.Faults{Reject: "UnrecognizedClientException"}, config: keysFor(awsStore(`, "access_key_id": "`+canaryID+`", "secret_access_key": "`+canaryKey+`"`), "vault.a")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := awstest.StartFake(t)
			f.Put("a", a)
			f.Put("o", `{"b": `+quoted(b)+`}`)
			f.Put("held", b)
			f.Put("large", strings.Repeat(b, 20_000))
			f.PutBinary("binary", []byte(b+"\xff"))
			f.Mark(f.Put("denied", b), awstest.Denied)
			f.Set(tt.faults)
			if tt.name == "half of it hangs" {
				f.Hold("held", t.Context().Done())
			}
			config := tt.config
			if config == "" {
				config = two
			}
			first := 3
			if tt.fine {
				first = 0
			}
			leak{config: config, flags: tt.flags, env: awsEnv(f.URL), secrets: secrets, fails: !tt.fine, first: first}.try(t)
		})
	}
}

// TestCanaryEcho has servers that put the secret, and the credentials, into
// every part of an answer that an error could be made of.
func TestCanaryEcho(t *testing.T) {
	t.Parallel()
	echo := strings.Join([]string{canary("echo"), canaryKey, canaryToken}, " ")
	secrets := []string{canary("echo"), canaryID, canaryKey, canaryToken}
	inner := strings.Trim(quoted(echo), `"`)
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	wire := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(text))
			_ = conn.Close()
		}
	}
	servers := map[string]http.HandlerFunc{
		"a message":               answer(400, `{"__type": "InvalidRequestException", "Message": "`+inner+`"}`),
		"a denial":                answer(400, `{"__type": "AccessDeniedException", "Message": "User: `+inner+` is not authorized to perform: secretsmanager:GetSecretValue"}`),
		"a throttling":            answer(400, `{"__type": "ThrottlingException", "message": "`+inner+`"}`),
		"a message of KMS":        answer(400, `{"__type": "DecryptionFailure", "Message": "KMS key `+inner+`"}`),
		"a code":                  answer(400, `{"__type": "`+inner+`", "Message": "x"}`),
		"a code after a colon":    answer(400, `{"__type": "com.amazon#`+inner+`:http://x", "Message": "x"}`),
		"a 500":                   answer(500, `{"__type": "InternalServiceError", "Message": "`+inner+`"}`),
		"an error that is text":   answer(500, echo),
		"an error that is XML":    answer(400, `<ErrorResponse><Error><Code>`+canaryKey+` x</Code><Message>`+canaryKey+`</Message></Error></ErrorResponse>`),
		"an error that is cut":    answer(400, `{"__type": "InvalidRequestException", "Message": "`+inner),
		"a page":                  answer(404, `<html>`+echo+`</html>`),
		"text":                    answer(200, echo),
		"a value of another type": answer(200, `{"ARN": "x", "Name": "a", "SecretString": {"`+inner+`": "`+inner+`"}, "SecretValues": "`+inner+`"}`),
		"a value that is a list":  answer(200, `{"ARN": "x", "Name": "a", "SecretString": ["`+inner+`"], "SecretValues": [["`+inner+`"]]}`),
		"binary that is none":     answer(200, `{"ARN": "x", "Name": "a", "SecretBinary": "`+inner+`", "SecretValues": [{"Name": "a", "SecretBinary": "`+inner+`"}]}`),
		"a time that is none":     answer(200, `{"ARN": "x", "Name": "a", "CreatedDate": "`+inner+`", "SecretValues": [{"Name": "a", "CreatedDate": "`+inner+`"}]}`),
		"a value that is cut":     answer(200, `{"ARN": "x", "Name": "a", "SecretString": "`+inner),
		"an escape that is none":  answer(200, `{"ARN": "x", "Name": "a", "SecretString": "\q`+inner+`"}`),
		"an error of a batch":     answer(200, `{"Errors": [{"SecretId": "a", "ErrorCode": "`+inner+`", "Message": "`+inner+`"}, {"SecretId": "b", "ErrorCode": "InternalServiceError", "Message": "`+inner+`"}]}`),
		"a token":                 answer(200, `{"SecretValues": [], "NextToken": "`+inner+`"}`),
		"a redirect": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://"+canaryKey+".invalid/"+canaryKey)
			w.WriteHeader(307)
		},
		"headers": func(w http.ResponseWriter, _ *http.Request) {
			for _, name := range []string{"X-Amzn-Errortype", "X-Amzn-Requestid", "X-Amzn-Error-Message", "Www-Authenticate", "Server", "Date"} {
				w.Header().Set(name, "x "+canaryKey)
			}
			w.WriteHeader(400)
		},
		"a compression that is none": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write([]byte(echo))
		},
		"a status line":         wire("HTTP/1.1 " + echo + "\r\n\r\n"),
		"a status":              wire("HTTP/1.1 " + canaryKey + " OK\r\n\r\n"),
		"another protocol":      wire(echo + "\r\n"),
		"a header line":         wire("HTTP/1.1 200 OK\r\n" + echo + "\r\n\r\n"),
		"a length":              wire("HTTP/1.1 200 OK\r\nContent-Length: " + canaryKey + "\r\n\r\n"),
		"a length of more":      wire("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{\"SecretString\": \"" + inner),
		"an encoding":           wire("HTTP/1.1 200 OK\r\nTransfer-Encoding: " + canaryKey + "\r\n\r\n"),
		"chunks that are none":  wire("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + echo + "\r\n"),
		"a trailer":             wire("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + echo + "\r\n\r\n"),
		"tls":                   wire("\x15\x03\x01\x00\x02\x02\x28" + echo),
		"a role in a bad reply": answer(200, `<AssumeRoleResponse><AssumeRoleResult><Credentials><SecretAccessKey>`+canaryKey+`</SecretAccessKey><Expiration>`+canaryToken+`</Expiration>`),
	}
	for name, handler := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(handler)
			t.Cleanup(s.Close)
			config, role := keysFor(awsStore(""), "vault.a", "vault.b#c"), keysFor(awsStore(`, "role_arn": "arn:aws:iam::222233334444:role/r"`), "vault.a")
			leak{config: config, env: awsEnv(s.URL), secrets: secrets, fails: true, first: 2}.try(t)
			leak{config: role, env: awsEnv(s.URL), secrets: secrets, fails: true, first: 1}.try(t)
		})
	}
}

// TestCanaryLogin looks for the credentials in what is said of the environment
// and of the files that they come from.
func TestCanaryLogin(t *testing.T) {
	t.Parallel()
	secrets := []string{canaryID, canaryKey, canaryToken}
	config := keysFor(awsStore(""), "vault.a", "vault.b")
	none := []string{"AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1", "AWS_CONFIG_FILE=aws.config", "AWS_SHARED_CREDENTIALS_FILE=aws.credentials"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"AccessKeyId": "%s", "SecretAccessKey": "%s", "Token": "%s", "Expiration": "%s"`, canaryID, canaryKey, canaryToken, canaryKey)
	}))
	t.Cleanup(server.Close)
	for _, l := range []leak{
		{name: "a line that is none", files: map[string]string{"aws.config": "[default]\n" + canaryKey + "\n= " + canaryToken, "aws.credentials": "aws_secret_access_key = " + canaryKey + "\n[" + canaryToken}},
		{name: "half", files: map[string]string{"aws.config": "", "aws.credentials": "[default]\naws_secret_access_key = " + canaryKey + "\naws_session_token = " + canaryToken}},
		{name: "values in the wrong places", files: map[string]string{"aws.credentials": "", "aws.config": "[default]\nmax_attempts = " + canaryKey + "\nuse_fips_endpoint = " + canaryToken + "\nretry_mode = " + canaryID}},
		{name: "a number in a variable", env: []string{"AWS_MAX_ATTEMPTS=" + canaryKey, "AWS_USE_FIPS_ENDPOINT=" + canaryToken}},
		{name: "a process that prints nonsense", files: map[string]string{"aws.credentials": "", "aws.config": "[default]\ncredential_process = sh -c 'echo " + canaryKey + "'\n"}},
		{name: "a process that prints too little", files: map[string]string{"aws.credentials": "", "aws.config": "[default]\ncredential_process = sh -c 'echo {\\\"Version\\\": 1, \\\"SecretAccessKey\\\": \\\"" + canaryKey + "\\\"}'\n"}},
		{name: "a process that fails", files: map[string]string{"aws.credentials": "", "aws.config": "[default]\ncredential_process = sh -c 'exit 3' " + canaryKey + "\n"}},
		{name: "a token of a web identity", files: map[string]string{"aws.credentials": "", "aws.config": "", "token": canaryToken}, env: []string{"AWS_WEB_IDENTITY_TOKEN_FILE=token", "AWS_ROLE_ARN=arn:aws:iam::222233334444:role/r", "AWS_ENDPOINT_URL_STS=" + server.URL}},
		{name: "a container", files: map[string]string{"aws.credentials": "", "aws.config": ""}, env: []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=" + server.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN=" + canaryToken}},
		{name: "a password in the endpoint", env: append([]string{"AWS_ENDPOINT_URL=http://user:" + canaryKey + "@127.0.0.1:1/"}, canaryLogin...)},
		{name: "an endpoint that is no URL", env: append([]string{"AWS_ENDPOINT_URL=http://user:" + canaryKey + "@127.0.0.1:port/%zz"}, canaryLogin...)},
		{name: "a password in the proxy", env: append([]string{"AWS_ENDPOINT_URL=http://aws.invalid", "HTTP_PROXY=http://user:" + canaryKey + "@127.0.0.1:1"}, canaryLogin...)},
		{name: "a proxy that is no URL", env: append([]string{"AWS_ENDPOINT_URL=http://aws.invalid", "HTTP_PROXY=http://user:" + canaryKey + "@127.0.0.1:port/%zz"}, canaryLogin...)},
		{name: "an access key in place of a role", config: keysFor(awsStore(`, "role_arn": "`+canaryKey+`"`), "vault.a"), env: canaryLogin},
	} {
		if l.config == "" {
			l.config = config
		}
		l.env, l.secrets, l.fails, l.first = append(none[:len(none):len(none)], l.env...), secrets, true, 2
		t.Run(l.name, func(t *testing.T) { t.Parallel(); l.try(t) })
	}
}
