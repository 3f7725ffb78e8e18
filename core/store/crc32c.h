// SPDX-License-Identifier: MIT
// The checksum of journal lines: CRC-32C (Castagnoli), reflected, as iSCSI has it (RFC 3720 §12.1).
#pragma once

#include <cstdint>
#include <string_view>

namespace relay {

// By the processor's own instruction where it has one.
uint32_t Crc32c(std::string_view bytes);
// The same by tables alone.
uint32_t Crc32cByTables(std::string_view bytes);

}  // namespace relay
