package rpcerr

import (
	"errors"
	"testing"
)

func TestWithinBeginsPathsInTheBody(t *testing.T) {
	found := Invalid(
		Violation{Field: "settings.browserTtlSeconds", Message: "is too small"},
		Violation{Field: "updateMask", Message: "names no field"},
	)
	var got *Error
	if !errors.As(Within(found, "settings"), &got) {
		t.Fatal("the error is of another type")
	}
	if got.Violations[0].Field != "browserTtlSeconds" || got.Violations[1].Field != "updateMask" {
		t.Errorf("violations %v", got.Violations)
	}
	if got.Metadata["field"] != "browserTtlSeconds" || got.Message != "browserTtlSeconds: is too small (and 1 more)" {
		t.Errorf("metadata %v, message %q", got.Metadata, got.Message)
	}
	if found.Violations[0].Field != "settings.browserTtlSeconds" || found.Metadata["field"] != "settings.browserTtlSeconds" {
		t.Error("the error that was given changed")
	}
}

func TestWithinTranslatesTheBodysName(t *testing.T) {
	err := Within(InvalidField("threatSettings.rateLimits[0].requests", "gte", "is too small"), "threat_settings")
	var got *Error
	if !errors.As(err, &got) || got.Violations[0].Field != "rateLimits[0].requests" {
		t.Errorf("got %v", err)
	}
}

func TestWithinLeavesOtherErrors(t *testing.T) {
	for name, err := range map[string]error{
		"no violations": NotFound("accounts/a"), "foreign": errors.New("oops"),
	} {
		if got := Within(err, "settings"); !errors.Is(got, err) {
			t.Errorf("%s: got %v", name, got)
		}
	}
	if err := InvalidField("settings.x", "r", "m"); !errors.Is(Within(err, ""), err) {
		t.Error("without a body the error changed")
	}
}
