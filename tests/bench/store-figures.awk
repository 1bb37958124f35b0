# Rows "SET|TOOL|WHAT|VALUE" of store.sh into one JSON line a figure, ours against each other tool's.

{ value[$1, $2, $3] = $4; if (!($2 in known)) { known[$2] = 1; tools[++n] = $2 } }

function line(name, v, unit, against, ratio) {
    printf "{\"name\":\"%s\",\"value\":%.3f,\"unit\":\"%s\",", name, v, unit
    if (against == "") printf "\"against\":null,\"ratio\":null}\n"
    else printf "\"against\":\"%s\",\"ratio\":%.3f}\n", against, ratio
}

# Our tool's figure and its ratio to that of every other tool that has it.
function figure(name, set, ours, what, unit,    i, tool, v, other, any) {
    if (!((set, ours, what) in value)) return
    v = value[set, ours, what]
    for (i = 1; i <= n; i++) {
        tool = tools[i]
        if (tool ~ /^gdo/ || tool == "input" || !((set, tool, what) in value)) continue
        other = value[set, tool, what]
        if (other > 0) { line(name, v, unit, tool, v / other); any = 1 }
    }
    if (!any) line(name, v, unit, "", 0)
}

# Gigabytes of input a CPU second.
function rate(name, set, ours, what, half,    v) {
    v = value[set, ours, what]
    if (v > 0) line(name, value[set, "input", half] / 1000 / v, "GB/CPU s", "", 0)
}

END {
    figure("store_rootfs_stored_mb", "rootfs", "gdo", "stored", "MB")
    line("store_rootfs_reduction", value["rootfs", "input", "stored"] / value["rootfs", "gdo", "stored"], "x", "", 0)
    figure("store_rootfs_archive_stored_mb", "rootfs", "gdo, archive", "stored", "MB")
    figure("store_text_stored_mb", "text", "gdo", "stored", "MB")
    figure("store_text_archive_stored_mb", "text", "gdo, archive", "stored", "MB")
    line("store_text_archive_reduction", value["text", "input", "stored"] / value["text", "gdo, archive", "stored"], "x", "", 0)
    figure("store_edits_stored_mb", "edits", "gdo", "stored", "MB")
    figure("store_rootfs_index_mb", "rootfs", "gdo", "index", "MB")
    split("rootfs text edits", sets, " ")
    for (i = 1; i <= 3; i++) {
        set = sets[i]
        figure("ingest_" set "_first_cpu_s", set, "gdo", "first", "s")
        figure("ingest_" set "_next_cpu_s", set, "gdo", "next", "s")
        figure("ingest_" set "_again_cpu_s", set, "gdo", "again", "s")
        figure("ingest_" set "_rss_mib", set, "gdo", "first, memory", "MiB")
        figure("restore_" set "_cpu_s", set, "gdo", "restore", "s")
        figure("restore_" set "_rss_mib", set, "gdo", "restore, memory", "MiB")
        rate("ingest_" set "_duplicate_rate", set, "gdo", "again", "stored")
        rate("restore_" set "_rate", set, "gdo", "restore", "stored")
    }
    for (i = 1; i <= n; i++) {
        tool = tools[i]
        if (!(("growth", tool, "ingest") in value)) continue
        gb = tool + 0
        line("ingest_unique_rate_" gb "gb", gb / value["growth", tool, "ingest"], "GB/CPU s", "", 0)
        line("ingest_rss_" gb "gb_mib", value["growth", tool, "ingest, memory"], "MiB", "", 0)
        line("store_index_" gb "gb_mb", value["growth", tool, "index"], "MB", "", 0)
        line("store_verify_" gb "gb_cpu_s_per_gb", value["growth", tool, "verify"] / gb, "s/GB", "", 0)
        line("store_gc_" gb "gb_cpu_s_per_gb", value["growth", tool, "gc"] / gb, "s/GB", "", 0)
        line("store_gc_" gb "gb_rss_mib", value["growth", tool, "gc, memory"], "MiB", "", 0)
    }
}
