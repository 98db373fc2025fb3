// Package awstest is an AWS Secrets Manager for tests, on the loopback interface:
// [Moto], a real emulator for the flows that work, and [Fake], a small server
// of our own for those that do not, for counting and for benchmarks. Both speak
// the real protocol, so that the real client of the SDK runs against them.
package awstest

import (
	"os"
	"strings"
	"testing"
)

const (
	// Account is the account of the credentials in an Env.
	Account = "123456789012"
	// Region is the region in an Env.
	Region = "us-east-1"
)

// env returns the environment of a process that is to use the server at url, and
// nothing else that the machine may have of AWS.
func env(url string) map[string]string {
	return map[string]string{
		"AWS_ENDPOINT_URL":            url,
		"AWS_REGION":                  Region,
		"AWS_ACCESS_KEY_ID":           "test",
		"AWS_SECRET_ACCESS_KEY":       "test",
		"AWS_CONFIG_FILE":             os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_EC2_METADATA_DISABLED":   "true",
	}
}

// Setenv makes env the only AWS variables of this process until the test ends.
// It cannot be used in parallel tests.
func Setenv(tb testing.TB, env map[string]string) {
	tb.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") {
			tb.Setenv(name, "")
			_ = os.Unsetenv(name) // the Setenv before it puts it back
		}
	}
	for name, v := range env {
		tb.Setenv(name, v)
	}
}
