-- The experiment header of jogak's slices for Wireshark and tshark (format: schemas/experiment-header.md).
--
-- Put it among Wireshark's plugins (Help, About, Folders), or: tshark -X lua_script:jogak.lua -r capture.pcap
-- Filters: jogak.slice == 7, jogak.status == "bad_version", jogak.destination == 3, ...
-- A slice's own layouts are told in the preference jogak.layouts; `jogak frame layout FILE` prints what belongs there.

local ETHERTYPE = 0x88b5

local jogak = Proto("jogak", "Experiment header")
local TYPES = { [1] = "slice", [2] = "places" }
local f = {
    status = ProtoField.string("jogak.status", "Status"),
    version = ProtoField.uint8("jogak.version", "Version", base.DEC, nil, 0xf0),
    words = ProtoField.uint8("jogak.words", "Header length (words)", base.DEC, nil, 0x0f),
    type = ProtoField.uint8("jogak.type", "Slice type", base.DEC, TYPES),
    slice = ProtoField.uint32("jogak.slice", "Slice"),
    interface = ProtoField.uint32("jogak.interface", "Virtual interface"),
    source = ProtoField.uint32("jogak.source", "Source location"),
    destination = ProtoField.uint32("jogak.destination", "Destination location"),
    info = ProtoField.bytes("jogak.info", "Slice info"),
    field = ProtoField.string("jogak.field", "Field"),
    inner = ProtoField.uint16("jogak.inner", "Inner EtherType", base.HEX),
    payload_bytes = ProtoField.uint32("jogak.payload_bytes", "Payload length"),
}
jogak.fields = f
local broken = ProtoExpert.new("jogak.broken", "Not a frame of a slice", expert.group.MALFORMED, expert.severity.ERROR)
jogak.experts = { broken }
jogak.prefs.layouts = Pref.string("Layouts", "", "Slice type:bytes:name/offset/width,...;...  (see `jogak frame layout`)")

local tags, service_tags = Field.new("vlan.etype"), Field.new("ieee8021ah.etype")
local inner_tags = Field.new("ieee8021ad.cvid") -- two service tags in a row are shown with one type
local seen = Field.new("jogak.status")
local ethertypes = DissectorTable.get("ethertype")
local llc = Dissector.get("llc")
local data = Dissector.get("data")

-- "128:8:hop/0/6,urgent/6/1;129:52:" -> { [128] = { bytes = 8, { name, offset, width }, ... }, ... }
local function layouts()
    local all = {}
    for kind, bytes, fields in jogak.prefs.layouts:gmatch("(%d+):(%d+):([^;]*)") do
        local one = { bytes = tonumber(bytes) }
        for name, offset, width in fields:gmatch("([%w_]+)/(%d+)/(%d+)") do
            one[#one + 1] = { name = name, offset = tonumber(offset), width = tonumber(width) }
        end
        all[tonumber(kind)] = one
    end
    return all
end

-- How many tags stand before the header, if one of them names it.
local function count_tags()
    local count, named = select("#", inner_tags()), false
    for _, field in ipairs({ tags, service_tags }) do
        for _, tag in ipairs({ field() }) do
            count, named = count + 1, named or tag.value == ETHERTYPE
        end
    end
    return named and count or 0
end

local function check_type(kind, bytes)
    if kind == 1 then return bytes == 8 and "ok" or "bad_length" end
    if kind == 2 then return bytes == 20 and "ok" or "bad_length" end
    if kind < 128 or kind > 254 then return "bad_type" end
    return bytes >= 8 and "ok" or "bad_length"
end

-- The checks of schemas/experiment-header.md in their order; tvb begins after the EtherType.
local function status_of(tvb)
    local length = tvb:len()
    if count_tags() > 0 then return "tagged" end
    if length < 8 then return "cut" end
    if tvb(0, 1):bitfield(0, 4) ~= 1 then return "bad_version" end
    local bytes = tvb(0, 1):bitfield(4, 4) * 4
    local status = check_type(tvb(1, 1):uint(), bytes)
    if status ~= "ok" then return status end
    if length < bytes then return "cut_info" end
    if tvb(2, 4):uint() == 0 then return "bad_slice" end
    local inner = tvb(bytes - 2, 2):uint()
    if inner == ETHERTYPE or (inner > 1500 and inner < 0x600) then return "bad_inner" end
    if inner <= 1500 and length - bytes < inner then return "cut_inner" end
    return "ok"
end

local function add_own(tree, tvb, kind, bytes)
    local layout = layouts()[kind]
    tree:add(f.info, tvb(6, bytes - 8))
    if not layout or layout.bytes ~= bytes - 8 then return end
    for _, one in ipairs(layout) do
        local first, last = math.floor(one.offset / 8), math.floor((one.offset + one.width - 1) / 8)
        if last < bytes - 8 and one.width >= 1 and last - first < 8 then
            local range = tvb(6 + first, last - first + 1)
            tree:add(f.field, range, one.name .. "=" .. tostring(range:bitfield(one.offset % 8, one.width)))
        end
    end
end

local function add_header(tree, tvb)
    local bytes, kind = tvb(0, 1):bitfield(4, 4) * 4, tvb(1, 1):uint()
    tree:add(f.slice, tvb(2, 4))
    if kind == 2 then
        tree:add(f.interface, tvb(6, 4))
        tree:add(f.source, tvb(10, 4))
        tree:add(f.destination, tvb(14, 4))
    elseif bytes > 8 then
        add_own(tree, tvb, kind, bytes)
    end
    tree:add(f.inner, tvb(bytes - 2, 2))
    tree:add(f.payload_bytes, tvb:len() - bytes):set_generated()
    return bytes
end

local function dissect_payload(tvb, bytes, pinfo, root)
    if tvb:len() == bytes then return end
    local inner, payload = tvb(bytes - 2, 2):uint(), tvb(bytes):tvb()
    if inner <= 1500 then
        if inner > 0 then llc:call(tvb(bytes, inner):tvb(), pinfo, root) end
    elseif ethertypes:try(inner, payload, pinfo, root) == 0 then
        data:call(payload, pinfo, root)
    end
end

function jogak.dissector(tvb, pinfo, root)
    -- In the payload of a slice, behind a tag of its own: that slice's affair. Behind three tags: ordinary traffic.
    if seen() or count_tags() > 2 then
        return data:call(tvb, pinfo, root)
    end
    local status = status_of(tvb)
    local tree = root:add(jogak, tvb())
    pinfo.cols.protocol = "JOGAK"
    tree:add(f.status, status):set_generated()
    if tvb:len() >= 1 then
        tree:add(f.version, tvb(0, 1))
        tree:add(f.words, tvb(0, 1))
    end
    if tvb:len() >= 2 then tree:add(f.type, tvb(1, 1)) end
    if status ~= "ok" then
        pinfo.cols.info = "Experiment header: " .. status
        tree:add_proto_expert_info(broken, "Not a frame of a slice: " .. status)
        return tvb:len()
    end
    local bytes = add_header(tree, tvb)
    tree:set_len(bytes)
    pinfo.cols.info = string.format("Slice %u, type %u, inner 0x%04x", tvb(2, 4):uint(), tvb(1, 1):uint(),
                                    tvb(bytes - 2, 2):uint())
    dissect_payload(tvb, bytes, pinfo, root)
    return tvb:len()
end

ethertypes:add(ETHERTYPE, jogak)
