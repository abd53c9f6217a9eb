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
Node a has a core of its own, where there are two, and of the others all but the nodes, the sinks and the
bystanders run at the lowest priority: what is measured is what they cost the node, and not who gets the
machine. Without that core the figures of bystanders are higher by milliseconds that the node's turns do not
explain: they share its core, and wait for it.

What hostile peers cost bystanders is told by rows that are alike but for them: one in four is calm, with the
same honest load, members that come and go, and kills, whose programs start anew on the same few cores and are
no attack. The verdict is of these: p99 beside hostile peers is at most twice that of the calm rows. The p99
of the quiet time at the start, in which nobody is killed either, is printed beside it with its ratio. So is
at each time that of the bystanders elsewhere, to whom nothing happens: what that rises by is the machine's.
"""
