package service

import (
	"fmt"
	"strings"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/mail"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// memberInvite writes to a person who is to be a member. What others chose, such as an
// account's display name, stays out of the letter: it must not carry somebody's message.
func memberInvite(tx *change.Tx, account string, m *breakwaterv1.Member) error {
	id := m.GetName()[strings.LastIndexByte(m.GetName(), '/')+1:]
	role := strings.ToLower(m.GetRole().String())
	return mail.Put(tx, account, "invite-"+id, &storev1.Mail{
		To:      []string{m.GetEmail()},
		Subject: "You are invited to an account of Breakwater",
		Text: fmt.Sprintf("Hello,\n\nyou are invited to %s as %s.\n\n"+
			"To accept, log in with this address and confirm the invitation (POST /v1/%s:accept).\n"+
			"If you did not expect this letter, you need not do anything.\n",
			resource.AccountName(account), role, m.GetName()),
	})
}
