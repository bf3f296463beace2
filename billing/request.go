package billing

import (
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// operation is one of the calls to the provider that change something there.
type operation string

const (
	opCreateCustomer     operation = "create-customer"
	opUpdateCustomer     operation = "update-customer"
	opCreateSubscription operation = "create-subscription"
	opUpgrade            operation = "upgrade"
	opQuantities         operation = "quantities"
	opCancelAtPeriodEnd  operation = "cancel-at-period-end"
	opCancel             operation = "cancel"
	opPay                operation = "pay"
	opVoid               operation = "void"
	opUncollectible      operation = "uncollectible"
	opCredit             operation = "credit"
)

// request is what a call asks for: each operation uses some of it. It is stored with the call,
// so that a repeat asks the very same.
type request struct {
	Customer      string          `json:"customer,omitempty"`
	Email         string          `json:"email,omitempty"`
	Details       json.RawMessage `json:"details,omitempty"`
	DetailsNumber int64           `json:"detailsNumber,omitempty"`
	Subscription  string          `json:"subscription,omitempty"`
	Quantities    Quantities      `json:"quantities,omitempty"`
	ProrationTime time.Time       `json:"prorationTime,omitzero"`
	Cancel        bool            `json:"cancel,omitempty"`
	Invoice       string          `json:"invoice,omitempty"`
	Credit        string          `json:"credit,omitempty"`
	Amount        int64           `json:"amount,omitempty"`
	Reason        string          `json:"reason,omitempty"`
	// Sites are the plans that the renewal bills once this is done, of the sites for which
	// that is news.
	Sites map[string]string `json:"sites,omitempty"`
}

// begin stores the call that a step asks for, before it is made.
func (r *rules) begin(tx Tx, s step) error {
	rec := tx.Record()
	rec.Calls++
	thing := r.newID(tx.Now())
	req := request{Customer: rec.GetCustomer(), Subscription: rec.GetSubscription()}
	switch s.operation {
	case opCreateCustomer, opUpdateCustomer:
		req.Subscription = ""
		if err := req.details(tx); err != nil {
			return err
		}
	case opCreateSubscription, opUpgrade:
		m := rec.GetMove()
		before, after := r.quantities(rec, m)
		m.Before, m.After, m.Submitted = before, after, true
		thing = m.GetId()
		req.Quantities, req.ProrationTime = after, at(m.GetProrationTime())
	case opQuantities:
		req.Quantities, _ = r.target(rec)
		req.Sites = news(rec)
	case opCancelAtPeriodEnd:
		_, req.Cancel = r.target(rec)
		req.Sites = news(rec)
	case opCancel:
		req.Subscription = s.subject
	case opPay, opVoid, opUncollectible:
		req.Invoice = s.subject
		if m := rec.GetMove(); m.GetInvoice() == s.subject {
			thing = m.GetId()
			m.Tried = m.GetTried() || s.operation == opPay
		}
		if st := rec.GetStanding(); st.GetInvoice() == s.subject && s.operation == opPay {
			st.TriedMethod = rec.GetSeen().GetPaymentMethodId()
		}
	case opCredit:
		for _, c := range rec.GetCredits() {
			if c.GetId() == s.subject {
				thing = c.GetId()
				c.Balance = rec.GetSeen().GetBalance()
				req.Credit, req.Amount, req.Reason = c.GetId(), c.GetAmount(), c.GetReason()
			}
		}
	}
	text, err := json.Marshal(req)
	if err != nil {
		return err
	}
	rec.Call = &storev1.ProviderCall{
		Operation: string(s.operation),
		Key:       fmt.Sprintf("bw-%s-%s-%d", thing, s.operation, rec.GetCalls()),
		FirstTime: stamp(tx.Now()),
		Request:   text,
	}
	return nil
}

// news are the sites of whose next plan the provider does not know.
func news(rec *storev1.BillingRecord) map[string]string {
	sites := map[string]string{}
	for domain, s := range rec.GetSites() {
		if s.GetRenewalPlan() != "" {
			sites[domain] = s.GetNextPlan()
		}
	}
	return sites
}

func (q *request) customer(account string) (CustomerRequest, error) {
	details := &breakwaterv1.Billing{}
	if err := protojson.Unmarshal(q.Details, details); err != nil {
		return CustomerRequest{}, err
	}
	return CustomerRequest{Account: account, Email: q.Email, Details: details}, nil
}

// request is what the call that is under way asks for.
func callRequest(rec *storev1.BillingRecord) (request, error) {
	var req request
	if err := json.Unmarshal(rec.GetCall().GetRequest(), &req); err != nil {
		return request{}, fmt.Errorf("billing: the stored request of %s: %w", rec.GetCall().GetOperation(), err)
	}
	return req, nil
}
