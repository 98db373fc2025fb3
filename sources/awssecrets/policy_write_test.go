package awssecrets

import (
	"encoding/json"
	"reflect"
	"testing"

	"bifrost-secrets/sources/awssecrets/awstest"
)

func TestWritePolicy(t *testing.T) {
	type policyOf struct{ Statement []statement }
	for _, c := range []struct {
		kms       string
		resource  string
		condition map[string]map[string]string
	}{
		{kms: ""},
		{"1234abcd-12ab-34cd-56ef-1234567890ab", "arn:aws:kms:eu-west-1:*:key/1234abcd-12ab-34cd-56ef-1234567890ab", nil},
		{"arn:aws:kms:eu-west-1:111122223333:key/abc", "arn:aws:kms:eu-west-1:111122223333:key/abc", nil},
		{"alias/gateway", "arn:aws:kms:eu-west-1:*:key/*", map[string]map[string]string{"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/gateway"}}},
		{"arn:aws:kms:eu-west-1:111122223333:alias/gateway", "arn:aws:kms:eu-west-1:*:key/*", map[string]map[string]string{"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/gateway"}}},
	} {
		f := awstest.StartFake(t)
		s := open(t, f.Env(), settings("region", "eu-west-1", "kms_key_id", c.kms))
		var got policyOf
		if err := json.Unmarshal(s.WritePolicy([]string{"shared/x"}, "team/bifrost/"), &got); err != nil {
			t.Fatal(err)
		}
		by := map[string]statement{}
		for _, one := range got.Statement {
			by[one.Sid] = one
		}
		const under = "arn:aws:secretsmanager:eu-west-1:*:secret:team/bifrost/*"
		if want := []string{under}; !reflect.DeepEqual(by["StoreSecrets"].Resource, want) || !reflect.DeepEqual(by["DeleteWhatWasStored"].Resource, want) {
			t.Errorf("stored and deleted under %v and %v", by["StoreSecrets"].Resource, by["DeleteWhatWasStored"].Resource)
		}
		if by["DeleteWhatWasStored"].Condition == nil {
			t.Error("what is not ours may be deleted")
		}
		if want := []string{"arn:aws:secretsmanager:eu-west-1:*:secret:shared/x-??????"}; !reflect.DeepEqual(by["ReadSecrets"].Resource, want) {
			t.Errorf("read are %v", by["ReadSecrets"].Resource)
		}
		key := by["UseTheKey"]
		if c.kms == "" {
			if key.Sid != "" {
				t.Error("a key is allowed that is not set")
			}
			continue
		}
		if !reflect.DeepEqual(key.Resource, []string{c.resource}) || !reflect.DeepEqual(key.Condition, c.condition) {
			t.Errorf("%s: %+v", c.kms, key)
		}
	}
	// Every action that the store calls is in the policy: see TestStoreActions.
}
