package awssecrets

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/sources/cloudtest"
)

// A secret that one batch answers twice has a value where both answers are alike,
// and none where they are not.
func TestAnsweredTwice(t *testing.T) {
	for what, change := range map[string]func(one, all map[string]any){
		"alike":           func(map[string]any, map[string]any) {},
		"another value":   func(one, _ map[string]any) { one["SecretString"] = mark + " other" },
		"another version": func(one, _ map[string]any) { one["VersionId"] = "00000000-0000-0000-0000-000000000009" },
		"and as an error": func(one, all map[string]any) {
			all["Errors"] = []any{map[string]any{"SecretId": one["Name"], "ErrorCode": "ResourceNotFoundException", "Message": "none"}}
		},
	} {
		t.Run(what, func(t *testing.T) {
			f := awstest.StartFake(t)
			f.Put("app/a", mark+" a")
			f.Put("app/b", mark+" b")
			f.Tell(&cloudtest.Lie{Serve: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				right := httptest.NewRecorder()
				next.ServeHTTP(right, r)
				var all map[string]any
				if err := json.Unmarshal(right.Body.Bytes(), &all); err != nil {
					t.Error(err)
				}
				if values, ok := all["SecretValues"].([]any); ok && len(values) == 2 {
					for _, value := range values {
						if one := value.(map[string]any); one["Name"] == "app/a" {
							twin := maps.Clone(one)
							change(twin, all)
							all["SecretValues"] = append(values, twin)
						}
					}
				}
				body, _ := json.Marshal(all)
				w.Header().Set("Content-Type", "application/x-amz-json-1.1")
				w.WriteHeader(right.Code)
				_, _ = w.Write(body)
			}})
			got := open(t, f.Env(), settings()).fetch(t, "app/a", "app/b")
			if b := got["app/b"]; b.Err != nil || string(b.Value.Reveal()) != mark+" b" {
				t.Errorf("the other is %v", b.Err)
			}
			if what == "alike" {
				if a := got["app/a"]; a.Err != nil || string(a.Value.Reveal()) != mark+" a" {
					t.Errorf("alike, and %v", a.Err)
				}
				return
			}
			if e := wantKind(t, got["app/a"].Err, sources.Unreachable); !strings.Contains(e.Message, "was answered twice in one batch, with different answers") || strings.Contains(show(e), mark) {
				t.Error(e)
			}
		})
	}
}
