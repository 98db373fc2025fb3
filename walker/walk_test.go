package walker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// show returns one line a field: path, what stands there, line:column.
func show(t *testing.T, doc string) string {
	t.Helper()
	d, err := Parse("config.json", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	d.Walk(func(f *Field) bool {
		pos := d.Position(f.Start)
		fmt.Fprintf(&out, "%s %s", f.Path, f.What)
		if f.What == Ref {
			fmt.Fprintf(&out, " %s", f.Ref)
		}
		if f.Entry == nil {
			out.WriteString(" outside")
		}
		if f.Object {
			out.WriteString(" object")
		}
		if f.Disputed {
			out.WriteString(" disputed")
		}
		if f.Misread {
			out.WriteString(" misread")
		}
		fmt.Fprintf(&out, " %d:%d\n", pos.Line, pos.Column)
		if got := string(d.Bytes()[f.Start:f.End]); !json.Valid([]byte(got)) {
			t.Errorf("%s: the span is no JSON value", f.Path)
		}
		return true
	})
	return out.String()
}

func TestWalk(t *testing.T) {
	tests := []struct{ name, doc, want string }{
		{"a key", `{"providers":{"openai":{"keys":[{"name":"a","value":"vault.x#y"},{"value":"sk-1"}]}}}`,
			"providers.openai.keys[0].value reference vault.x#y 1:53\nproviders.openai.keys[1].value literal 1:75\n"},
		{"line and column count characters", "{\n  \"providers\": {\"ö\": {\"keys\": [{\"é\":1, \"value\": \"env.X\"}]}}}",
			"providers[\"ö\"].keys[0].value reference env.X 2:49\n"},
		{"escaped key and value", `{"\u0070roviders":{"openai":{"keys":[{"\u0076alue":"\u0065nv.X"}]}}}`,
			"providers.openai.keys[0].value reference env.X 1:52\n"},
		{"case of struct keys", `{"Providers":{"openai":{"KEYS":[{"Value":"env.X"}]}}}`,
			"Providers.openai.KEYS[0].Value reference env.X 1:42\n"},
		{"case of a name with capitals", `{"scim_config":{"provider":"okta","config":{"clientsecret":"a"}}}`,
			"scim_config.config.clientsecret literal 1:60\n"},
		{"long s and kelvin sign", `{"providerſ":{"x":{"Keys":[{"value":"a"}]}}}`,
			"[\"providerſ\"].x.Keys[0].value literal 1:37\n"},
		{"null, number, mask", `{"encryption_key":null,"auth_config":{"admin_password":12,"admin_username":"****"}}`,
			"encryption_key null 1:19\nauth_config.admin_password other 1:56\nauth_config.admin_username masked 1:76\n"},
		{"misread escapes", `{"encryption_key":"a\/b","proxy_config":{"password":"a\/b"},"auth_config":{"admin_password":"\ud83d\ude00"}}`,
			"encryption_key literal misread 1:19\nproxy_config.password literal 1:53\nauth_config.admin_password literal misread 1:93\n"},
		{"header maps", `{"mcp":{"client_configs":[{"headers":{"Authorization":"vault.a","x.y":"b"}}]}}`,
			"mcp.client_configs[0].headers.Authorization reference vault.a 1:55\nmcp.client_configs[0].headers[\"x.y\"] literal 1:71\n"},
		{"plugin of a known name", `{"plugins":[{"config":{"sasl":{"password":"p","x":"vault.q"}},"name":"kafka"}]}`,
			"plugins[0].config.sasl.password literal 1:43\nplugins[0].config.sasl.x reference vault.q 1:51\n"},
		{"plugin of an unknown name", `{"plugins":[{"name":"mine","config":{"a":{"b":["vault.q",1,{"c":"d"}]},"value":{"value":"env.X"}}}]}`,
			"plugins[0].config.a.b[0] reference vault.q 1:48\nplugins[0].config.a.b[2].c literal 1:65\nplugins[0].config.value.value reference env.X 1:89\n"},
		{"store types", `{"vector_store":{"type":"redis","config":{"password":"p","api_key":"not-redis"}},"logs_store":{"config":{"database":"d"},"type":"clickhouse"}}`,
			"vector_store.config.password literal 1:54\nlogs_store.config.database literal 1:117\n"},
		{"store of an unknown type", `{"vector_store":{"type":"new","config":{"password":"p","api_key":"q"}}}`,
			"vector_store.config.password literal 1:52\nvector_store.config.api_key literal 1:66\n"},
		{"the last selector counts", `{"plugins":[{"name":"x","Name":"kafka","config":{"ca_cert":"env.C"}}]}`,
			"plugins[0].config.ca_cert reference env.C 1:60\n"},
		{"outside of fields", `{"x":"vault.a","client":{"y":["env.B"]},"vault.key":{"\u0076ault.k":"v"},"z":"\u0076ault.c"}`,
			"x reference vault.a outside 1:6\nclient.y[0] reference env.B outside 1:31\nz reference vault.c outside 1:78\n"},
		{"broken references", `{"encryption_key":"vault.","auth_config":{"admin_password":"vault.a#","admin_username":"env."}}`,
			"encryption_key broken reference 1:19\nauth_config.admin_password broken reference 1:60\nauth_config.admin_username broken reference 1:88\n"},
		{"what audit logs are sent with", `{"audit_logs":{"siem_integration":{"splunk":{"hec_token":"vault.a"},"elastic":{"api_key":"vault.b"}},"webhooks":{"endpoints":[{"auth":{"token":"vault.c"}}]}}}`,
			"audit_logs.siem_integration.splunk.hec_token reference vault.a 1:58\naudit_logs.siem_integration.elastic.api_key reference vault.b 1:90\naudit_logs.webhooks.endpoints[0].auth.token reference vault.c 1:144\n"},
		{"an old name", `{"client":{"mcp_external_server_url":"vault.a"},"governance":{"virtual_keys":[{"previous_value":"vault.b"}]}}`,
			"client.mcp_external_server_url reference vault.a 1:38\ngovernance.virtual_keys[0].previous_value reference vault.b 1:97\n"},
		{"a container where a string should be", `{"proxy_config":{"password":{"a":"vault.b"}},"encryption_key":["vault.c"]}`,
			"proxy_config.password.a reference vault.b outside 1:34\nencryption_key[0] reference vault.c outside 1:64\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := show(t, tt.doc); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
}

func TestObjectForms(t *testing.T) {
	tests := []struct{ object, want string }{
		{`{"value":"x","env_var":""}`, "literal x"},
		{`{"value":"x"}`, "literal disputed x"},
		{`{"value":"x","type":"plain_text"}`, "literal disputed x"},
		{`{"value":"env.X","type":"plain_text"}`, "literal disputed env.X"},
		{`{"value":"env.X"}`, "literal disputed env.X"},
		{`{"value":"env.X","env_var":"env.X"}`, "reference env.X"},
		{`{"value":"env.X","env_var":"env.X","from_env":true}`, "reference env.X"},
		{`{"value":"","env_var":"X","from_env":true}`, "reference disputed env.X"},
		{`{"env_var":"env.X","from_env":true}`, "reference disputed env.X"},
		{`{"value":"","ref":"env.X","type":"env"}`, "reference disputed env.X"},
		{`{"ref":"X","type":"env"}`, "reference disputed env.X"},
		{`{"ref":"vault.a#b"}`, "reference disputed vault.a#b"},
		{`{"VALUE":"","Ref":"vault.a#b","tYpe":"vault"}`, "reference disputed vault.a#b"},
		{`{"ref":"a#b","type":"vault"}`, "broken reference"},
		{`{"value":"env.X","type":"env"}`, "broken reference"},
		{`{"env_var":"X"}`, "broken reference"},
		{`{"ref":"vault."}`, "broken reference"},
		{`{"value":"x","type":"other"}`, "literal disputed x"},
		{`{"value":123}`, `literal {"value":123}`},
		{`{"value":"****","env_var":""}`, "masked ****"},
		{`{"type":"service_account","private_key":"k"}`, `literal disputed {"type":"service_account","private_key":"k"}`},
		{`{}`, `literal disputed {}`},
	}
	for _, tt := range tests {
		d, err := Parse("config.json", []byte(`{"encryption_key":`+tt.object+`}`))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		d.Walk(func(f *Field) bool {
			got = f.What.String()
			if f.Disputed {
				got += " disputed"
			}
			switch f.What {
			case Ref:
				got += " " + f.Ref.String()
			case Literal, Masked:
				got += " " + f.Text()
			}
			return true
		})
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.object, got, tt.want)
		}
	}
}

func TestWalkStops(t *testing.T) {
	d, err := Parse("config.json", []byte(`{"encryption_key":"a","setup_token":"b","x":"vault.c","y":"vault.d"}`))
	if err != nil {
		t.Fatal(err)
	}
	for stop := 1; stop <= 4; stop++ {
		n := 0
		d.Walk(func(*Field) bool { n++; return n < stop })
		if n != stop {
			t.Errorf("asked to stop after %d fields, got %d", stop, n)
		}
	}
}

// A Field must show nothing of its value, whoever prints it and however.
func TestFieldPrintsNoValue(t *testing.T) {
	d, err := Parse("config.json", []byte(`{"encryption_key":"canary-7f"}`))
	if err != nil {
		t.Fatal(err)
	}
	d.Walk(func(f *Field) bool {
		out := fmt.Sprintf("%v %+v %#v %s %q %x %d", f, *f, *f, f, f, f, f)
		if strings.Contains(out, "canary") || strings.Contains(out, "63616e617279") || strings.Contains(out, "99 97 110") {
			t.Errorf("printed %s", out)
		}
		return true
	})
}

// What counts as a reference at a glance is every one that is written plainly.
func TestReferences(t *testing.T) {
	for doc, want := range map[string]int{
		`{}`: 0,
		`{"encryption_key":"vault.a","setup_token":{"value":"vault.b"},"x":"vault.c"}`:       2,
		`{"encryption_key":"","auth_config":{"admin_password":12,"admin_username":"env.A"}}`: 0,
	} {
		d, err := Parse("config.json", []byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		if got := d.References(); got != want {
			t.Errorf("%s: %d, want %d", doc, got, want)
		}
	}
}

// Each byte in each place of the eight that are looked at together, with any byte
// behind it that borrows could spill into.
func TestTextAt(t *testing.T) {
	const plain = "0123456789abcdefghijklm"
	for at := range len(plain) {
		for c := range 256 {
			for _, next := range []byte{'!', '"', '\\', ' ', '#', '[', 0x7f} {
				s := []byte(`"` + plain + `"  `)
				s[1+at] = byte(c)
				if at+1 < len(plain) {
					s[2+at] = next
				}
				end, isPlain := textAt(s, 0)
				want := -1
				for i := 1; i < len(s) && want < 0 && s[i] >= ' '; i++ {
					if s[i] == '\\' {
						i++
					} else if s[i] == '"' {
						want = i + 1
					}
				}
				if want > 0 && (!json.Valid(s[:want]) || !utf8.Valid(s[:want])) {
					want = -1
				}
				if end != want || want > 0 && isPlain != (bytes.IndexByte(s[:want], '\\') < 0) {
					t.Fatalf("%q: ends at %d, want %d; plain: %v", s, end, want, isPlain)
				}
			}
		}
	}
}
