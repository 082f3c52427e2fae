"""Which arguments pybitcoin-cli reads as JSON; the others are passed on as text.

A line names a method and, by position and name, its arguments that are no text. ":either" is JSON if it can
be
read as such, else text. ":text" matters with -named only: such an argument may hold "=" without being a named
one. The table is Core's (31.99): its daemon lists it by `help dump_all_command_conversions`, ours does too.
"""

from __future__ import annotations

from typing import NamedTuple

_TABLE = """
addconnection 2:v2transport
addnode 2:v2transport
addpeeraddress 1:port 2:tried
analyzepsbt 0:psbt:text
backupwallet 0:destination:text
bumpfee 1:options 1:conf_target 1:fee_rate 1:replaceable 1:outputs 1:original_change_index
combinepsbt 0:txs
combinerawtransaction 0:txs
converttopsbt 1:permitsigdata 2:iswitness
createmultisig 0:nrequired 1:keys
createpsbt 0:inputs 1:outputs 2:locktime 3:replaceable 4:version
createrawtransaction 0:inputs 1:outputs 2:locktime 3:replaceable 4:version
createwallet 0:wallet_name:text 1:disable_private_keys 2:blank 3:passphrase:text 4:avoid_reuse 5:descriptors
    6:load_on_startup 7:external_signer
createwalletdescriptor 1:options 1:internal
decodepsbt 0:psbt:text
decoderawtransaction 1:iswitness
deriveaddresses 1:range
descriptorprocesspsbt 0:psbt:text 1:descriptors 2:sighashtype:text 3:bip32derivs 4:finalize
disconnectnode 1:nodeid
dumptxoutset 0:path:text 1:type:text 2:options 2:rollback:either 2:in_memory
echoipc 0:arg:text
echojson 0:arg0 1:arg1 2:arg2 3:arg3 4:arg4 5:arg5 6:arg6 7:arg7 8:arg8 9:arg9
encryptwallet 0:passphrase:text
estimaterawfee 0:conf_target 1:threshold
estimatesmartfee 0:conf_target
finalizepsbt 0:psbt:text 1:extract
fundrawtransaction 1:options 1:add_inputs 1:include_unsafe 1:minconf 1:maxconf 1:changePosition
    1:includeWatching 1:lockUnspents 1:fee_rate 1:feeRate 1:subtractFeeFromOutputs 1:input_weights
    1:conf_target 1:replaceable 1:solving_data 1:max_tx_weight 2:iswitness
generateblock 1:transactions 2:submit
generatetoaddress 0:nblocks 2:maxtries
generatetodescriptor 0:num_blocks 2:maxtries
getaddressesbylabel 0:label:text
getbalance 1:minconf 2:include_watchonly 3:avoid_reuse
getblock 1:verbosity 1:verbose
getblockfrompeer 1:peer_id
getblockhash 0:height
getblockheader 1:verbose
getblockstats 0:hash_or_height:either 1:stats
getblocktemplate 0:template_request
getchaintxstats 0:nblocks
getdescriptoractivity 0:blockhashes 1:scanobjects 2:include_mempool
gethdkeys 0:active_only 0:options 0:private
getmempoolancestors 1:verbose
getmempooldescendants 1:verbose
getnetworkhashps 0:nblocks 1:height
getnewaddress 0:label:text 1:address_type:text
getnodeaddresses 0:count
getorphantxs 0:verbosity
getrawmempool 0:verbose 1:mempool_sequence
getrawtransaction 1:verbosity 1:verbose
getreceivedbyaddress 1:minconf 2:include_immature_coinbase
getreceivedbylabel 0:label:text 1:minconf 2:include_immature_coinbase
getscripthistory 1:skip 2:count
gettransaction 1:include_watchonly 2:verbose
gettxout 1:n 2:include_mempool
gettxoutproof 0:txids
gettxoutsetinfo 1:hash_or_height:either 2:use_index
gettxspendingprevout 0:outputs 1:options 1:mempool_only 1:return_spending_tx
importdescriptors 0:requests
importmempool 0:filepath:text 1:options 1:apply_fee_delta_priority 1:use_current_time
    1:apply_unbroadcast_set
joinpsbts 0:txs
keypoolrefill 0:newsize
listdescriptors 0:private
listreceivedbyaddress 0:minconf 1:include_empty 2:include_watchonly 4:include_immature_coinbase
listreceivedbylabel 0:minconf 1:include_empty 2:include_watchonly 3:include_immature_coinbase
listsinceblock 0:blockhash:text 1:target_confirmations 2:include_watchonly 3:include_removed
    4:include_change 5:label:text
listtransactions 0:label:text 1:count 2:skip 3:include_watchonly
listunspent 0:minconf 1:maxconf 2:addresses 3:include_unsafe 4:query_options 4:minimumAmount 4:maximumAmount
    4:maximumCount 4:minimumSumAmount 4:include_immature_coinbase
loadtxoutset 0:path:text
loadwallet 0:filename:text 1:load_on_startup
lockunspent 0:unlock 1:transactions 2:persistent
logging 0:include 1:exclude
migratewallet 0:wallet_name:text 1:passphrase:text
mockscheduler 0:delta_time
prioritisetransaction 1:dummy 2:fee_delta
pruneblockchain 0:height
psbtbumpfee 1:options 1:conf_target 1:fee_rate 1:replaceable 1:outputs 1:original_change_index
rescanblockchain 0:start_height 1:stop_height
restorewallet 0:wallet_name:text 1:backup_file:text 2:load_on_startup
scanblocks 1:scanobjects 2:start_height 3:stop_height 5:options 5:filter_false_positives
scantxoutset 1:scanobjects
send 0:outputs 1:conf_target 3:fee_rate 4:options 4:add_inputs 4:include_unsafe 4:minconf 4:maxconf
    4:add_to_wallet 4:change_position 4:fee_rate 4:include_watching 4:inputs 4:locktime 4:lock_unspents
    4:psbt 4:subtract_fee_from_outputs 4:conf_target 4:replaceable 4:solving_data 4:max_tx_weight 5:version
sendall 0:recipients 1:conf_target 3:fee_rate 4:options 4:add_to_wallet 4:fee_rate 4:include_watching
    4:inputs 4:locktime 4:lock_unspents 4:psbt 4:send_max 4:minconf 4:maxconf 4:conf_target 4:replaceable
    4:solving_data 4:version
sendmany 0:dummy:text 1:amounts 2:minconf 3:comment:text 4:subtractfeefrom 5:replaceable 6:conf_target
    7:estimate_mode:text 8:fee_rate 9:verbose
sendmsgtopeer 0:peer_id
sendrawtransaction 1:maxfeerate 2:maxburnamount
sendtoaddress 0:address:text 1:amount 2:comment:text 3:comment_to:text 4:subtractfeefromamount
    5:replaceable 6:conf_target 7:estimate_mode:text 8:avoid_reuse 9:fee_rate 10:verbose
setban 2:bantime 3:absolute
setlabel 1:label:text
setmocktime 0:timestamp
setnetworkactive 0:state
setwalletflag 1:value
signmessage 1:message:text
signmessagewithprivkey 1:message:text
signrawtransactionwithkey 1:privkeys 2:prevtxs
signrawtransactionwithwallet 1:prevtxs
simulaterawtransaction 0:rawtxs 1:options 1:include_watchonly
stop 0:wait
submitpackage 0:package 1:maxfeerate 2:maxburnamount
testmempoolaccept 0:rawtxs 1:maxfeerate
unloadwallet 0:wallet_name:text 1:load_on_startup
utxoupdatepsbt 0:psbt:text 1:descriptors
verifychain 0:checklevel 1:nblocks
verifymessage 1:signature:text 2:message:text
waitforblock 1:timeout
waitforblockheight 0:height 1:timeout
waitfornewblock 0:timeout
walletcreatefundedpsbt 0:inputs 1:outputs 2:locktime 3:options 3:add_inputs 3:include_unsafe 3:minconf
    3:maxconf 3:changePosition 3:includeWatching 3:lockUnspents 3:fee_rate 3:feeRate
    3:subtractFeeFromOutputs 3:conf_target 3:replaceable 3:solving_data 3:max_tx_weight 4:bip32derivs
    5:version
walletpassphrase 0:passphrase:text 1:timeout
walletpassphrasechange 0:oldpassphrase:text 1:newpassphrase:text
walletprocesspsbt 0:psbt:text 1:sign 2:sighashtype:text 3:bip32derivs 4:finalize
"""


class Param(NamedTuple):
    """format: "json", "either" or "text"."""

    position: int
    name: str
    format: str


def _read_table() -> dict[str, list[Param]]:
    table: dict[str, list[Param]] = {}
    method: list[Param] = []
    for word in _TABLE.split():
        if not word[0].isdigit():
            method = table.setdefault(word, [])
            continue
        position, name, kind = (word + ":").split(":")[:3]
        method.append(Param(int(position), name, kind or "json"))
    return table


PARAMS = _read_table()


def by_position(method: str, position: int) -> Param | None:
    return next((p for p in PARAMS.get(method, ()) if p.position == position), None)


def by_name(method: str, name: str) -> Param | None:
    return next((p for p in PARAMS.get(method, ()) if p.name == name), None)
