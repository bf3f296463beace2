package stripe

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76/webhook"
)

const (
	secretOne = "whsec_one"
	secretTwo = "whsec_two"
)

var signedAt = time.Unix(1_700_000_000, 0)

// signature is written after the description alone; that the library's agrees is tested.
func signature(secret string, at int64, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(fmt.Appendf(nil, "%d.%s", at, body))
	return hex.EncodeToString(mac.Sum(nil))
}

func header(secret, body string) string {
	return fmt.Sprintf("t=%d,v1=%s", signedAt.Unix(), signature(secret, signedAt.Unix(), body))
}

func eventBody(kind, about string) string {
	return `{"id":"evt_1","object":"event","type":"` + kind + `","created":1700000000,"api_version":"2023-10-16","livemode":true,` +
		`"data":{"object":` + about + `}}`
}

func TestSignature(t *testing.T) {
	body := eventBody("invoice.paid", `{"id":"in_1","object":"invoice","customer":"cus_1","subscription":"sub_1"}`)
	right := signature(secretOne, signedAt.Unix(), body)
	wrong := signature("whsec_other", signedAt.Unix(), body)
	at := func(header string) string { return fmt.Sprintf("t=%d,", signedAt.Unix()) + header }
	both := []string{secretOne, secretTwo}
	for name, test := range map[string]struct {
		body, header string
		secrets      []string
		age          time.Duration
		want         error
	}{
		"right":                     {body: body, header: at("v1=" + right)},
		"one of several signatures": {body: body, header: at("v1=" + wrong + ",v1=" + right)},
		"the new secret":            {body: body, header: header(secretTwo, body), secrets: both},
		"the old secret":            {body: body, header: header(secretOne, body), secrets: both},
		"space after a comma":       {body: body, header: at(" v1=" + right)},
		"another scheme too":        {body: body, header: at("v0=abc,v1=" + right + ",v2=xyz")},
		"just young enough":         {body: body, header: at("v1=" + right), age: Tolerance},
		"just old enough":           {body: body, header: at("v1=" + right), age: -Tolerance},

		"too old":               {body: body, header: at("v1=" + right), age: Tolerance + time.Second, want: ErrTooOld},
		"from the future":       {body: body, header: at("v1=" + right), age: -Tolerance - time.Second, want: ErrFuture},
		"forged":                {body: body, header: at("v1=" + wrong), want: ErrSignature},
		"forged and old":        {body: body, header: at("v1=" + wrong), age: time.Hour, want: ErrSignature},
		"another body":          {body: body + " ", header: at("v1=" + right), want: ErrSignature},
		"another time":          {body: body, header: "t=1700000001,v1=" + right, want: ErrSignature},
		"the same time again":   {body: body, header: "t=01700000000,v1=" + right, want: ErrSignature},
		"another scheme only":   {body: body, header: at("v0=" + right), want: ErrSignature},
		"no signature":          {body: body, header: at("v1="), want: ErrSignature},
		"half a signature":      {body: body, header: at("v1=" + right[:32]), want: ErrSignature},
		"no secret":             {body: body, header: at("v1=" + right), secrets: []string{}, want: ErrSignature},
		"signed with nothing":   {body: body, header: header("", body), secrets: []string{""}, want: ErrSignature},
		"no header":             {body: body, want: ErrMalformed},
		"no time":               {body: body, header: "v1=" + right, want: ErrMalformed},
		"two times":             {body: body, header: at(at("v1=" + right)), want: ErrMalformed},
		"a time that is none":   {body: body, header: "t=now,v1=" + right, want: ErrMalformed},
		"a time before 1970":    {body: body, header: "t=-1,v1=" + right, want: ErrMalformed},
		"the end of times":      {body: body, header: fmt.Sprintf("t=%d,v1=%s", int64(math.MaxInt64), right), want: ErrMalformed},
		"not name=value":        {body: body, header: at(right), want: ErrMalformed},
		"a long header":         {body: body, header: at("v1=" + right + strings.Repeat(",v0=a", 1000)), want: ErrMalformed},
		"many signatures":       {body: body, header: at(strings.Repeat("v1="+right+",", 40) + "v0=a"), want: ErrMalformed},
		"no event":              {body: "[]", header: header(secretOne, "[]"), want: ErrMalformed},
		"nothing":               {body: "", header: header(secretOne, ""), want: ErrMalformed},
		"too large":             {body: strings.Repeat(" ", MaxBody+1), header: at("v1=" + right), want: ErrTooLarge},
		"as large as it may be": {body: body + strings.Repeat(" ", MaxBody-len(body)), header: header(secretOne, body+strings.Repeat(" ", MaxBody-len(body)))},
	} {
		t.Run(name, func(t *testing.T) {
			secrets := test.secrets
			if secrets == nil {
				secrets = []string{secretOne}
			}
			event, err := ParseEvent([]byte(test.body), test.header, secrets, signedAt.Add(test.age), Tolerance)
			if !errors.Is(err, test.want) {
				t.Fatalf("%v instead of %v", err, test.want)
			}
			if err != nil && event != (Event{}) {
				t.Errorf("a refused webhook says %v", event)
			}
			if err == nil && (event.Customer != "cus_1" || event.Subscription != "sub_1" || event.ID != "evt_1" || !event.Live) {
				t.Errorf("%+v", event)
			}
		})
	}
}

// TestLibraryAgrees compares our verification with the library's, which is not used: its
// tolerance has one side only, and it refuses other versions of the API.
func TestLibraryAgrees(t *testing.T) {
	body := eventBody("customer.updated", `{"id":"cus_1","object":"customer"}`)
	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{
		Payload: []byte(body), Secret: secretOne, Timestamp: signedAt,
	})
	if _, err := ParseEvent([]byte(body), signed.Header, []string{secretOne}, signedAt, Tolerance); err != nil {
		t.Error(err)
	}
	if err := webhook.ValidatePayloadIgnoringTolerance([]byte(body), header(secretOne, body), secretOne); err != nil {
		t.Error(err)
	}
}

func TestEvents(t *testing.T) {
	for name, test := range map[string]struct {
		kind, about                     string
		customer, subscription, account string
		malformed                       bool
	}{
		"customer":         {kind: "customer.updated", about: `{"id":"cus_1","object":"customer","metadata":{"breakwater_account":"acme"}}`, customer: "cus_1", account: "acme"},
		"subscription":     {kind: "customer.subscription.updated", about: `{"id":"sub_1","object":"subscription","customer":"cus_1","metadata":{"breakwater_account":"acme"}}`, customer: "cus_1", subscription: "sub_1", account: "acme"},
		"invoice":          {kind: "invoice.paid", about: `{"id":"in_1","object":"invoice","customer":"cus_1","subscription":"sub_1"}`, customer: "cus_1", subscription: "sub_1"},
		"expanded":         {kind: "invoice.paid", about: `{"id":"in_1","object":"invoice","customer":{"id":"cus_1"},"subscription":{"id":"sub_1"}}`, customer: "cus_1", subscription: "sub_1"},
		"newer invoice":    {kind: "invoice.paid", about: `{"id":"in_1","object":"invoice","customer":"cus_1","parent":{"subscription_details":{"subscription":"sub_1"}}}`, customer: "cus_1", subscription: "sub_1"},
		"nulls":            {kind: "invoice.paid", about: `{"id":"in_1","object":"invoice","customer":"cus_1","subscription":null,"metadata":null,"parent":null}`, customer: "cus_1"},
		"checkout":         {kind: "checkout.session.completed", about: `{"id":"cs_1","object":"checkout.session","mode":"setup","customer":"cus_1","subscription":null}`, customer: "cus_1"},
		"nobody's":         {kind: "checkout.session.completed", about: `{"id":"cs_1","object":"checkout.session","customer":null}`},
		"unknown type":     {kind: "charge.succeeded", about: `{"id":"ch_1","object":"charge","customer":"cus_1"}`},
		"future type":      {kind: "invoice.something_new", about: `7`},
		"ID that is a key": {kind: "customer.updated", about: `{"id":"../../x","object":"customer"}`, malformed: true},
		"no object":        {kind: "customer.updated", about: `null`},
		"no text":          {kind: "customer.updated", about: `{"id":7,"object":"customer"}`, malformed: true},
	} {
		t.Run(name, func(t *testing.T) {
			body := eventBody(test.kind, test.about)
			event, err := ParseEvent([]byte(body), header(secretOne, body), []string{secretOne}, signedAt, Tolerance)
			if test.malformed != errors.Is(err, ErrMalformed) || (err != nil) != test.malformed {
				t.Fatal(err)
			}
			if event.Customer != test.customer || event.Subscription != test.subscription || event.Account != test.account {
				t.Errorf("%+v", event)
			}
			if err == nil && (event.Type != test.kind || !event.Created.Equal(signedAt) || event.OtherVersion()) {
				t.Errorf("%+v", event)
			}
		})
	}
}

func TestDetachedCard(t *testing.T) {
	body := `{"id":"evt_1","object":"event","type":"payment_method.detached","created":1,"api_version":"2023-10-16",` +
		`"data":{"object":{"id":"pm_1","object":"payment_method","customer":null},"previous_attributes":{"customer":"cus_1"}}}`
	event, err := ParseEvent([]byte(body), header(secretOne, body), []string{secretOne}, signedAt, Tolerance)
	if err != nil || event.Customer != "cus_1" {
		t.Errorf("%+v, %v", event, err)
	}
}

func TestOtherVersion(t *testing.T) {
	body := strings.Replace(eventBody("customer.updated", `{"id":"cus_1","object":"customer"}`), "2023-10-16", "2025-03-31.basil", 1)
	event, err := ParseEvent([]byte(body), header(secretOne, body), []string{secretOne}, signedAt, Tolerance)
	if err != nil || event.Customer != "cus_1" || event.APIVersion != "2025-03-31.basil" || !event.OtherVersion() {
		t.Errorf("%+v, %v", event, err)
	}
}

func TestEventTypes(t *testing.T) {
	types := EventTypes()
	for n := range types[1:] {
		if types[n] >= types[n+1] {
			t.Errorf("%s is not before %s, which the search needs", types[n], types[n+1])
		}
	}
	types[0] = "changed"
	if EventTypes()[0] == "changed" {
		t.Error("the list is shared")
	}
}

// FuzzParseEvent signs anything: whatever is signed, an event has IDs of Stripe's form or is
// refused, and never panics.
func FuzzParseEvent(f *testing.F) {
	for _, body := range []string{
		eventBody("invoice.paid", `{"id":"in_1","object":"invoice","customer":"cus_1","subscription":{"id":"sub_1"}}`),
		eventBody("customer.updated", `{"id":"cus_1","object":"customer","metadata":{"breakwater_account":"acme"}}`),
		eventBody("charge.succeeded", `{}`), `{"id":"evt_1","object":"event"}`, `[]`, ``, `{"data":null}`,
	} {
		f.Add([]byte(body), header(secretOne, body))
	}
	f.Add([]byte("{}"), "t=1,v1=00,v1=zz,,=")
	f.Fuzz(func(t *testing.T, body []byte, given string) {
		if event, err := ParseEvent(body, given, []string{secretTwo}, signedAt, Tolerance); err == nil {
			t.Fatalf("accepted without the secret: %+v", event)
		}
		signed := header(secretOne, string(body))
		event, err := ParseEvent(body, signed, []string{secretTwo, secretOne}, signedAt, Tolerance)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
				t.Fatal(err)
			}
			return
		}
		for _, id := range []string{event.ID, event.Customer, event.Subscription} {
			if id != "" && !objectID.MatchString(id) {
				t.Fatalf("ID %q", id)
			}
		}
		if event.ID == "" || event.Type == "" {
			t.Fatalf("%+v", event)
		}
	})
}
