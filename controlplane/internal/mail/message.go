package mail

import (
	"fmt"
	"time"

	gomail "github.com/wneessen/go-mail"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// message is a letter in the form of RFC 5322. An address that is none is a [RefusedError].
func message(letter *storev1.Mail, from string, now time.Time) (*gomail.Msg, error) {
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := m.From(from); err != nil {
		return nil, fmt.Errorf("mail: sender %q: %w", from, err)
	}
	if err := m.To(letter.GetTo()...); err != nil {
		return nil, &RefusedError{Cause: err}
	}
	m.Subject(letter.GetSubject())
	m.SetMessageIDWithValue(letter.GetMessageId() + "@breakwater")
	m.SetDateWithValue(now)
	m.SetBodyString(gomail.TypeTextPlain, letter.GetText())
	return m, nil
}
