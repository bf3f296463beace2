package stripetest

// balanceTransaction is one change of what a customer owes beyond invoices; negative is a
// credit (https://docs.stripe.com/billing/customer/balance).
type balanceTransaction struct {
	stamped
	customer, kind, description, invoice string
	amount, ending                       int64
	metadata                             map[string]string
}

func (b *balanceTransaction) view() object {
	return object{
		"id": b.id, "object": "customer_balance_transaction", "amount": b.amount, "ending_balance": b.ending,
		"created": b.created.Unix(), "currency": "usd", "customer": b.customer, "type": b.kind, "credit_note": nil,
		"description": orNull(b.description), "invoice": orNull(b.invoice), "livemode": false, "metadata": b.metadata,
	}
}

// adjust changes a balance and says why.
func (s *Server) adjust(c *customer, amount int64, kind, invoice, description string) *balanceTransaction {
	c.balance += amount
	b := &balanceTransaction{
		stamped: stamped{s.newID("cbtxn"), s.at}, customer: c.id, kind: kind, description: description, invoice: invoice,
		amount: amount, ending: c.balance, metadata: map[string]string{},
	}
	c.transactions = append(c.transactions, b)
	return b
}

func createBalanceTransaction(c *call) (object, error) {
	amount, ok := c.number("amount")
	if !ok {
		c.fail("amount", "parameter_missing", "Missing required param: amount.")
	}
	if currency := c.need("currency"); currency != "usd" {
		c.fail("currency", "", "stripetest knows usd only")
	}
	description, metadata := c.text("description"), c.merge("metadata", nil)
	if err := c.end(); err != nil {
		return nil, err
	}
	cus, err := c.findCustomer(c.request.PathValue("id"), "id")
	if err != nil {
		return nil, err
	}
	b := c.adjust(cus, amount, "adjustment", "", description)
	b.metadata = metadata
	c.emit("customer.updated", c.customerView(cus))
	return b.view(), nil
}

func listBalanceTransactions(c *call) (object, error) {
	page := c.page()
	cus, err := c.findCustomer(c.request.PathValue("id"), "id")
	if err != nil {
		return nil, err
	}
	return list(c, page, append([]*balanceTransaction(nil), cus.transactions...), (*balanceTransaction).view)
}
