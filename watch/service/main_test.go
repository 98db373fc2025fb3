package service

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"bifrost-secrets/sources/postgres/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.M{M: m}) }

// patience guards against hanging for ever.
const patience = 2 * time.Minute
