"""A soak: honest traffic with churn, kills and hostile peers, in processes of their own over real sockets.

    python -m tests.faults.soak --minutes 30

| process | what it does | killed |
|---|---|---|
| node a | all but few are there | no |
| node c | nobody is there but two bystanders | no |
| node b | a peer of a; one sink and one sender are there | SIGKILL, and started again at its port |
| sinks (2) | take sessions and write down what they receive | no |
| bystanders | two applications at a; one asks, the other answers, and it is timed | no |
| elsewhere | the same, at node c, where nobody else is: how slow the machine itself is by then | no |
| senders (2) | sessions and groups, half of them with MLS; members join and are removed | SIGKILL |
| guest | is invited to the groups of senders | SIGKILL |
| server, client | requests; the server writes down what it answers, before it answers | the server |
| hostile | floods, nonsense, forgeries, peers that do not read | no |

Everybody writes into a file of his own (`ledger`); what was acknowledged must be in
the files of the receivers.
All but the nodes, the sinks and the bystanders run at the lowest priority: what is measured is what they cost
the nodes, and not who gets the machine.
"""
